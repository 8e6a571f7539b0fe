package eventlog

import (
	"context"
	"errors"
	"slices"
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
	// searchTime bounds how long ReadLog goes on through what a filter leaves out;
	// the page that is then being read is read to its end.
	searchTime = 2 * time.Second
	// heartbeat leaves the log as long again to be read within the 10 s that
	// FollowLog promises.
	heartbeat = 5 * time.Second
	// maxFollowers bounds who follows at once in one process. None of them holds
	// a connection while it waits, but all of them look when something comes, and
	// each may hold a page that is not taken.
	maxFollowers = 32
)

// Reader is what a log is served from.
type Reader interface {
	eventstore.FilteredReader
	eventstore.StreamReader
	// Head is an empty page at the present head.
	Head(ctx context.Context) (eventstore.Page, error)
}

// Handler serves a log. Who may call it stands in the proto.
type Handler struct {
	reader Reader
	// leaving is closed when the service begins to stop; nil for never.
	leaving <-chan struct{}
	// heartbeat is how long a follower hears nothing at most, if the log can be read.
	heartbeat time.Duration
	// followers has a place for each.
	followers chan struct{}
}

var _ eventlogv1connect.EventLogServiceHandler = (*Handler)(nil)

// NewHandler serves what the reader reads. Of a Patient one, those who follow
// are let go when the service begins to stop.
func NewHandler(reader Reader) *Handler {
	h := &Handler{reader: reader, heartbeat: heartbeat, followers: make(chan struct{}, maxFollowers)}
	if patient, ok := reader.(*patient); ok {
		h.leaving = patient.leaving
	}
	return h
}

// ReadLog reads a page of at most 3 MiB or so, so that a long history does not
// meet a bound on the size of messages.
func (h *Handler) ReadLog(ctx context.Context, request *connect.Request[eventlogv1.ReadLogRequest]) (*connect.Response[eventlogv1.ReadLogResponse], error) {
	wait := min(max(time.Duration(request.Msg.GetWaitMs())*time.Millisecond, 0), maxWait)
	search := searchTime
	if deadline, ok := ctx.Deadline(); ok {
		// An empty page in time, rather than a deadline missed.
		left := time.Until(deadline) - answerTime
		wait, search = max(min(wait, left), 0), min(search, left)
	}
	at := follower{reader: h.reader, filter: toFilter(request.Msg.GetFilter()), after: eventstore.Cursor(request.Msg.GetCursor()), limit: limitOf(request.Msg.GetLimit())}
	for began := time.Now(); ; {
		events, page, err := at.next(ctx, wait)
		if err != nil {
			return nil, toError(err)
		}
		if len(events) == 0 && !page.AtHead && time.Since(began) < search {
			continue
		}
		return connect.NewResponse(&eventlogv1.ReadLogResponse{
			Events: events, NextCursor: string(page.Next), Epoch: page.Epoch, AtHead: page.AtHead, Remaining: page.Remaining,
		}), nil
	}
}

// FollowLog reads on until the caller goes, the service stops, or the log cannot
// be read. A page is read when the one before is on its way: who is slow holds up
// nobody but itself, and one page.
func (h *Handler) FollowLog(ctx context.Context, request *connect.Request[eventlogv1.FollowLogRequest], stream *connect.ServerStream[eventlogv1.FollowLogResponse]) error {
	select {
	case h.followers <- struct{}{}:
		defer func() { <-h.followers }()
	default:
		return tooManyFollow()
	}
	at := follower{reader: h.reader, filter: toFilter(request.Msg.GetFilter()), after: eventstore.Cursor(request.Msg.GetCursor()), limit: limitOf(request.Msg.GetLimit())}
	if request.Msg.GetFromNow() {
		head, err := h.reader.Head(ctx)
		if err != nil {
			return toError(err)
		}
		at.after = head.Next
	}
	var sent time.Time
	wait := time.Duration(0) // the first page at once, so that the caller has its cursor
	for {
		events, page, err := at.next(ctx, wait)
		if err != nil {
			return toError(err)
		}
		wait = h.heartbeat
		if len(events) > 0 || page.AtHead || time.Since(sent) >= h.heartbeat {
			if err := stream.Send(&eventlogv1.FollowLogResponse{
				Events: events, NextCursor: string(page.Next), Epoch: page.Epoch, AtHead: page.AtHead, Remaining: page.Remaining,
			}); err != nil {
				return err
			}
			sent = time.Now()
		}
		select {
		case <-h.leaving:
			return nil
		default:
		}
	}
}

// follower is a place in the log of one who reads it page by page.
type follower struct {
	reader Reader
	filter eventstore.Filter
	after  eventstore.Cursor
	limit  int
}

// next reads a page that fits into a response, and moves on.
func (f *follower) next(ctx context.Context, wait time.Duration) ([]*eventlogv1.Event, eventstore.Page, error) {
	for limit := f.limit; ; {
		page, err := f.reader.ReadMatching(ctx, f.filter, f.after, limit, wait)
		if err != nil {
			return nil, page, err
		}
		events := toProtos(page.Events)
		if fitting := fit(events); fitting < len(events) {
			// A cursor stands at the end of a page only, so a shorter one is read.
			limit, wait = fitting, 0
			continue
		}
		f.after = page.Next
		return events, page, nil
	}
}

// ReadStream reads a part of one stream, of at most 3 MiB or so.
func (h *Handler) ReadStream(ctx context.Context, request *connect.Request[eventlogv1.ReadStreamRequest]) (*connect.Response[eventlogv1.ReadStreamResponse], error) {
	events, err := h.reader.ReadStream(ctx, request.Msg.GetStream(), max(request.Msg.GetFromVersion(), 1), limitOf(request.Msg.GetLimit()))
	if err != nil {
		return nil, toError(err)
	}
	if request.Msg.Until != nil {
		until := request.Msg.GetUntil().AsTime()
		later := func(event eventstore.Event) bool { return event.OccurredAt.After(until) }
		if first := slices.IndexFunc(events, later); first >= 0 {
			events = events[:first]
		}
	}
	protos := toProtos(events)
	return connect.NewResponse(&eventlogv1.ReadStreamResponse{Events: protos[:fit(protos)]}), nil
}

func toFilter(asked *eventlogv1.Filter) eventstore.Filter {
	return eventstore.Filter{Types: asked.GetTypes(), Stream: asked.GetStream()}
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
