package overview

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// heartbeat is how long nothing is handed over at most while all logs tell that
// there is nothing: a service tells it every 5 s, so that no more than 10 s pass.
const heartbeat = 5 * time.Second

// errSlow cuts off a service that does not begin.
var errSlow = errors.New("it does not begin in time")

// Watch hands over events as they come, and where all logs go on after them; no
// events where there are none for a while. The first time it does so at once, when
// all logs have said where they are. It ends without an error where a service lets
// go of who watches, as when it stops: go on from the last places then. The
// request's own cursor is not looked at; no places are from now on.
//
// Errors: what handle fails with; *LogError, what a service refuses, or that it
// cannot be reached; ErrPlaces where the places are not those of the logs that are
// asked for; INVALID_ARGUMENT for a log that is not there.
func (l Logs) Watch(ctx context.Context, request *musterv1.WatchEventsRequest, from Places, handle func([]*musterv1.RecordedEvent, Places) error) error {
	names, err := l.named(request.GetLog())
	if err != nil {
		return err
	}
	places := maps.Clone(from)
	if from == nil {
		places = make(Places, len(names))
		for _, name := range names {
			places[name] = ""
		}
	}
	if len(places) != len(names) {
		return ErrPlaces
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told, all := make(chan seen), make(chan struct{})
	for _, name := range names {
		if _, on := places[name]; !on {
			return ErrPlaces
		}
		asked := proto.CloneOf(request)
		asked.Cursor = places[name]
		watching.Go(func() { l.watchOne(ctx, name, asked, told, all) })
	}
	return gather(ctx, told, all, len(names), places, handle)
}

// seen is what one log tells, or that it has ended.
type seen struct {
	log    string
	answer *musterv1.WatchEventsResponse
	err    error
}

// gather hands over what the logs tell, once all have begun.
func gather(ctx context.Context, told <-chan seen, all chan<- struct{}, logs int, places Places, handle func([]*musterv1.RecordedEvent, Places) error) error {
	var begun []*musterv1.RecordedEvent // of those that wait for the others
	var last time.Time
	for waiting := logs; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-told:
			if next.answer == nil {
				return next.err
			}
			places[next.log] = next.answer.GetCursor()
			events := next.answer.GetEvents()
			if waiting > 0 {
				begun = append(begun, events...)
				if waiting--; waiting > 0 {
					continue
				}
				close(all)
				events, begun = begun, nil
			} else if len(events) == 0 && time.Since(last) < heartbeat {
				continue
			}
			if err := handle(events, maps.Clone(places)); err != nil {
				return err
			}
			last = time.Now()
		}
	}
}

// watchOne passes on what a log tells until it ends. It goes on after the first
// answer when all have begun: what waits stays bounded.
func (l Logs) watchOne(ctx context.Context, log string, request *musterv1.WatchEventsRequest, told chan<- seen, all <-chan struct{}) {
	tell := func(what seen) bool {
		select {
		case told <- what:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := watch(ctx, l.Views[log], request, l.Timeout, func(answer *musterv1.WatchEventsResponse) bool {
		if !tell(seen{log: log, answer: answer}) {
			return false
		}
		select {
		case <-all:
			return true
		case <-ctx.Done():
			return false
		}
	})
	if err != nil {
		err = &LogError{Log: log, Err: err}
	}
	tell(seen{log: log, err: err})
}

// watch gives each answer of a service, until take has enough. The first one has to
// come within some time.
func watch(ctx context.Context, view eventlogv1connect.EventViewServiceClient, request *musterv1.WatchEventsRequest, within time.Duration, take func(*musterv1.WatchEventsResponse) bool) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	late := time.AfterFunc(within, func() { cut(errSlow) })
	defer late.Stop()
	stream, err := view.WatchEvents(ctx, connect.NewRequest(request))
	if err != nil {
		return begins(ctx, err)
	}
	defer func() {
		cut(nil) // else Close waits for the end of what is on its way
		_ = stream.Close()
	}()
	for stream.Receive() {
		late.Stop()
		if !take(stream.Msg()) {
			return nil
		}
	}
	return begins(ctx, stream.Err())
}

// begins tells a service that is late from what it looks like once it is cut off.
func begins(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Cause(errSlow))
	}
	return err
}
