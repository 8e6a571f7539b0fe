package eventlog

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

const (
	// defaultLimit is how many events a page has where the caller does not say.
	defaultLimit = 500
	// maxWait bounds a wait at the head.
	maxWait = 30 * time.Second
	// answerTime is what a wait leaves of the caller's deadline for the answer.
	answerTime = 250 * time.Millisecond
	// responseBytes bounds the events of one response; a single one may be larger.
	responseBytes = 3 << 20
)

// Reader is what a log is served from.
type Reader interface {
	eventstore.LogReader
	eventstore.StreamReader
}

// Handler serves a log. Who may call it stands in the proto.
type Handler struct{ reader Reader }

var _ eventlogv1connect.EventLogServiceHandler = (*Handler)(nil)

// NewHandler serves what the reader reads.
func NewHandler(reader Reader) *Handler { return &Handler{reader: reader} }

// ReadLog reads a page of at most 3 MiB or so, so that a long history does not
// meet a bound on the size of messages.
func (h *Handler) ReadLog(ctx context.Context, request *connect.Request[eventlogv1.ReadLogRequest]) (*connect.Response[eventlogv1.ReadLogResponse], error) {
	limit := limitOf(request.Msg.GetLimit())
	wait := min(max(time.Duration(request.Msg.GetWaitMs())*time.Millisecond, 0), maxWait)
	if deadline, ok := ctx.Deadline(); ok {
		// An empty page in time, rather than a deadline missed.
		wait = max(min(wait, time.Until(deadline)-answerTime), 0)
	}
	for {
		page, err := h.reader.ReadLog(ctx, eventstore.Cursor(request.Msg.GetCursor()), limit, wait)
		if err != nil {
			return nil, toError(err)
		}
		events := toProtos(page.Events)
		if fitting := fit(events); fitting < len(events) {
			// A cursor stands at the end of a page only, so a shorter one is read.
			limit, wait = fitting, 0
			continue
		}
		return connect.NewResponse(&eventlogv1.ReadLogResponse{
			Events: events, NextCursor: string(page.Next), Epoch: page.Epoch, AtHead: page.AtHead, Remaining: page.Remaining,
		}), nil
	}
}

// ReadStream reads a part of one stream, of at most 3 MiB or so.
func (h *Handler) ReadStream(ctx context.Context, request *connect.Request[eventlogv1.ReadStreamRequest]) (*connect.Response[eventlogv1.ReadStreamResponse], error) {
	events, err := h.reader.ReadStream(ctx, request.Msg.GetStream(), max(request.Msg.GetFromVersion(), 1), limitOf(request.Msg.GetLimit()))
	if err != nil {
		return nil, toError(err)
	}
	protos := toProtos(events)
	return connect.NewResponse(&eventlogv1.ReadStreamResponse{Events: protos[:fit(protos)]}), nil
}

func limitOf(asked int32) int {
	if asked <= 0 {
		return defaultLimit
	}
	return int(asked)
}

// fit tells how many of the events fit into a response: one at least.
func fit(events []*eventlogv1.Event) int {
	size := 0
	for i, event := range events {
		if size += proto.Size(event); size > responseBytes && i > 0 {
			return i
		}
	}
	return len(events)
}

func toError(err error) error {
	switch {
	case errors.Is(err, eventstore.ErrCursorInvalid):
		return cursorInvalid()
	case errors.Is(err, eventstore.ErrEpochChanged):
		return epochChanged()
	}
	return err // the server's interceptors log it and keep it to themselves
}
