package operatortest

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Log is the event log of a service: it knows no filters. It is safe for
// concurrent use.
type Log struct {
	name string

	mu     sync.Mutex
	events []*musterv1.RecordedEvent
	// failure answers every call, and ends what is watched.
	failure error
	// changed is closed when any of it changes.
	changed  chan struct{}
	account  *musterv1.User
	erased   bool
	asked    []*musterv1.ListEventsRequest
	watchers int
}

var _ eventlogv1connect.EventViewServiceHandler = (*Log)(nil)

func newLog(name string) *Log { return &Log{name: name, changed: make(chan struct{})} }

func (l *Log) change(how func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Append puts events behind those that there are.
func (l *Log) Append(events ...*musterv1.RecordedEvent) {
	l.change(func() {
		for _, event := range events {
			event.Log = l.name
		}
		l.events = append(l.events, events...)
	})
}

// Fail answers every call with this error from now on, nil with none.
func (l *Log) Fail(err error) { l.change(func() { l.failure = err }) }

// Knows says what account everybody has, and whether it is erased.
func (l *Log) Knows(account *musterv1.User, erased bool) {
	l.change(func() { l.account, l.erased = account, erased })
}

// Asked are the lists that were asked for.
func (l *Log) Asked() []*musterv1.ListEventsRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// Watched waits until somebody watches, and has seen all.
func (l *Log) Watched(ctx context.Context) error {
	for {
		l.mu.Lock()
		watchers, changed := l.watchers, l.changed
		l.mu.Unlock()
		if watchers > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// ListEvents has for a page token how many events are left.
func (l *Log) ListEvents(_ context.Context, request *connect.Request[musterv1.ListEventsRequest]) (*connect.Response[musterv1.ListEventsResponse], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, request.Msg)
	if l.failure != nil {
		return nil, l.failure
	}
	left := len(l.events)
	if token := request.Msg.GetPageToken(); token != "" {
		left, _ = strconv.Atoi(token)
	}
	from := max(0, left-int(request.Msg.GetPageSize()))
	response := &musterv1.ListEventsResponse{Events: slices.Clone(l.events[from:left])}
	slices.Reverse(response.GetEvents())
	if from > 0 {
		response.NextPageToken = strconv.Itoa(from)
	}
	return connect.NewResponse(response), nil
}

// WatchEvents has for a cursor how many events were seen.
func (l *Log) WatchEvents(ctx context.Context, request *connect.Request[musterv1.WatchEventsRequest], stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	at, err := strconv.Atoi(request.Msg.GetCursor())
	begun, watching := false, false
	defer l.change(func() {
		if watching {
			l.watchers--
		}
	})
	for {
		l.mu.Lock()
		if !begun && err != nil {
			at = len(l.events)
		}
		events, failure, changed := slices.Clone(l.events[at:]), l.failure, l.changed
		l.mu.Unlock()
		if failure != nil {
			return failure
		}
		at += len(events)
		if !begun || len(events) > 0 {
			if err := stream.Send(&musterv1.WatchEventsResponse{Events: events, Cursor: strconv.Itoa(at)}); err != nil {
				return err
			}
		}
		if begun = true; !watching {
			watching = true
			l.change(func() { l.watchers++ })
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// GetUserHistory gives all events at once.
func (l *Log) GetUserHistory(context.Context, *connect.Request[musterv1.GetUserHistoryRequest]) (*connect.Response[musterv1.GetUserHistoryResponse], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failure != nil:
		return nil, l.failure
	case l.account == nil && !l.erased:
		return nil, reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Field("loginName"))
	}
	return connect.NewResponse(&musterv1.GetUserHistoryResponse{Account: l.account, Events: slices.Clone(l.events), Erased: l.erased}), nil
}
