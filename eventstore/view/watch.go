package view

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// heartbeat leaves the log as long again to be read within the 10 s that
	// WatchEvents promises.
	heartbeat = 5 * time.Second
	// longestWatch is how long an access token lasts: who may watch is asked again
	// when the caller goes on from its cursor.
	longestWatch = 15 * time.Minute
	// maxWatchers bounds who watches at once in one process.
	maxWatchers = 32
	// batch is how many events are opened, recorded and sent at once.
	batch = 100
)

// WatchEvents tells events as they come, until the caller goes, the service stops,
// or a quarter of an hour is over. It ends without an error then: go on from the
// last cursor.
func (h *Handler) WatchEvents(ctx context.Context, request *connect.Request[musterv1.WatchEventsRequest], stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	asked := request.Msg
	caller, err := h.caller(ctx, asked.GetSensitive())
	if err != nil {
		return err
	}
	if !h.isAsked(asked.GetLog()) {
		return notFound("log", "")
	}
	select {
	case h.watchers <- struct{}{}:
		defer func() { <-h.watchers }()
	default:
		return tooManyWatch()
	}
	watching, stop := context.WithTimeout(ctx, h.longest)
	defer stop()
	go func() {
		select {
		case <-h.config.Leaving:
			stop()
		case <-watching.Done():
		}
	}()
	err = h.watch(watching, caller, asked, stream)
	if watching.Err() != nil && ctx.Err() == nil {
		return nil // told to end
	}
	return ofCursor(err)
}

// watch sends the cursor at once, then what comes after it, until something fails.
func (h *Handler) watch(ctx context.Context, caller Caller, asked *musterv1.WatchEventsRequest, stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	at := eventstore.Cursor(asked.GetCursor())
	if at == "" {
		head, err := h.config.Log.Head(ctx)
		if err != nil {
			return err
		}
		at = head.Next
	}
	filter, chosen := filterOf(asked)
	var sent time.Time
	wait := time.Duration(0)
	for {
		page, err := h.config.Log.ReadMatching(ctx, filter, at, batch, wait)
		if err != nil {
			return err
		}
		at, wait = page.Next, h.heartbeat
		events := slices.DeleteFunc(page.Events, func(event eventstore.Event) bool { return !chosen(event) })
		if len(events) == 0 && time.Since(sent) < h.heartbeat {
			continue
		}
		shown, err := h.show(ctx, events, asked.GetSensitive(), true)
		if err != nil {
			return err
		}
		if err := h.record(ctx, caller, disclosure{eventlogv1connect.EventViewServiceWatchEventsProcedure, asked.GetStream(), asked.GetTypes()}, shown, false); err != nil {
			return err
		}
		if err := stream.Send(&musterv1.WatchEventsResponse{Events: shown.messages, Cursor: string(at)}); err != nil {
			return err
		}
		sent = time.Now()
	}
}

// filterOf gives what the log filters by, and what is left to choose: it does not
// know the last parts of types.
func filterOf(asked *musterv1.WatchEventsRequest) (eventstore.Filter, func(eventstore.Event) bool) {
	filter := eventstore.Filter{Stream: asked.GetStream()}
	full := func(name string) bool { return strings.Contains(name, ".") }
	if types := asked.GetTypes(); !slices.ContainsFunc(types, func(name string) bool { return !full(name) }) {
		filter.Types = types
		return filter, func(eventstore.Event) bool { return true }
	}
	return filter, func(event eventstore.Event) bool {
		last := event.Type[strings.LastIndexByte(event.Type, '.')+1:]
		return slices.Contains(asked.GetTypes(), event.Type) || slices.Contains(asked.GetTypes(), last)
	}
}
