package app

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
)

// people knows who was erased.
type people struct {
	avatars *eventstore.Repository[*avatar.Avatar]
}

// present refuses somebody who was erased, whose token may still be good for a
// few minutes. Whoever takes something new from a person calls it after that is
// on record: the erasure ends the stream first and looks at the records then.
func (p people) present(ctx context.Context, userID string) error {
	loaded, err := load(ctx, p.avatars, avatar.Stream(userID))
	if err != nil {
		return fmt.Errorf("look whether the person was erased: %w", err)
	}
	if loaded.State.OwnerErased() {
		return fmt.Errorf("%w: %w", ErrNotFound, avatar.ErrOwnerErased)
	}
	return nil
}

// load loads a stream, an empty one where it has no events.
func load[A eventstore.Aggregate](ctx context.Context, from *eventstore.Repository[A], stream string) (eventstore.Loaded[A], error) {
	loaded, err := from.Load(ctx, stream, 0)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return eventstore.Loaded[A]{State: from.New()}, nil
	}
	return loaded, err
}

// change appends what decide makes of a stream that may have no events yet.
// changed is false where it decided nothing.
func change[A eventstore.Aggregate](ctx context.Context, of *eventstore.Repository[A], stream string, by eventstore.Context, decide func(A) ([]proto.Message, error)) (at eventstore.Position, changed bool, err error) {
	decided := func(state A) (eventstore.Change, error) {
		messages, err := decide(state)
		changed = len(messages) > 0
		return eventstore.Change{Messages: messages}, err
	}
	appended, err := of.Update(ctx, stream, by, func(loaded eventstore.Loaded[A]) (eventstore.Change, error) { return decided(loaded.State) })
	if !errors.Is(err, eventstore.ErrStreamNotFound) {
		return appended.Position, changed, err
	}
	first, err := decided(of.New())
	if err != nil || !changed {
		return eventstore.Position{}, false, err
	}
	appended, err = of.Create(ctx, stream, first, by)
	if errors.Is(err, eventstore.ErrWrongVersion) { // somebody else has begun it meanwhile
		appended, err = of.Update(ctx, stream, by, func(loaded eventstore.Loaded[A]) (eventstore.Change, error) { return decided(loaded.State) })
	}
	return appended.Position, changed, err
}
