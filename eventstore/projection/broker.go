package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

var errSubscriptionEnded = errors.New("the subscription ended")

// consume queues what the broker delivers, and subscribes again when that ends.
// Nothing is taken before the tail has reached the head: what the catching up
// brings anyway would come as gaps, one read of the log each.
func (f *follower) consume(ctx context.Context) {
	var retry backoff.Backoff
	for {
		messages, err := f.subscriber.Subscribe(ctx, f.topic)
		if err == nil {
			f.status.report(partBroker, nil)
			select {
			case <-ctx.Done():
				return
			case <-f.caughtUp:
			}
			if f.receive(ctx, messages) {
				retry.Reset()
			}
			err = errSubscriptionEnded
		}
		if ctx.Err() != nil {
			return
		}
		f.status.report(partBroker, fmt.Errorf("subscribe: %w", err))
		if retry.Pause(ctx) != nil {
			return
		}
	}
}

// receive queues messages until their channel or ctx ends, and tells whether
// there was one.
func (f *follower) receive(ctx context.Context, messages <-chan *message.Message) bool {
	some := false
	for {
		var next work
		select {
		case <-ctx.Done():
			return some
		case delivered, ok := <-messages:
			if !ok {
				return some
			}
			some = true
			event, err := f.read(delivered)
			if err != nil {
				// To the dead letters. Nothing is lost: the tail brings every event.
				f.status.dropped()
				f.logger.Warn("broker's message dropped", "message", delivered.UUID, "error", err)
				delivered.Nack()
				continue
			}
			next = work{event: event, message: delivered}
		}
		if now := time.Now(); now.Sub(next.event.OccurredAt) <= lateAfter {
			f.brokerInTime.Store(now.UnixNano())
		}
		select {
		case <-ctx.Done():
			return some
		case f.queue <- next:
		}
	}
}

// read decodes a message and makes sure that it is an event of this log.
func (p *Projector) read(delivered *message.Message) (eventstore.Event, error) {
	event, err := p.decode(delivered)
	if err != nil {
		return eventstore.Event{}, err
	}
	if event.Log != p.log {
		return eventstore.Event{}, fmt.Errorf("event of log %q: %w", event.Log, ErrForeignLog)
	}
	if event.Stream == "" || event.Version < 1 || event.Epoch < 1 {
		return eventstore.Event{}, errors.New("event without stream, version or epoch")
	}
	return event, nil
}
