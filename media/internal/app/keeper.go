package app

import (
	"context"
	"fmt"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// Keeper tells what the log keeps at this moment. It opens nothing that is
// sealed, so it answers while the keyring is away.
type Keeper struct {
	log     eventstore.StreamReader
	avatars *eventstore.Repository[*avatar.Avatar]
}

// Keeps tells whether an object is that of a file which exists, or of somebody's
// present picture. What was uploaded is kept by nothing.
func (k *Keeper) Keeps(ctx context.Context, ref object.Ref) (bool, error) {
	var keeps bool
	var err error
	switch ref.Kind {
	case object.File:
		keeps, err = k.exists(ctx, file.Stream(ref.ID.String()))
	case object.Avatar:
		var loaded eventstore.Loaded[*avatar.Avatar]
		if loaded, err = load(ctx, k.avatars, avatar.Stream(ref.Owner.String())); err == nil {
			keeps = loaded.State.Current() == ref.ID.String()
		}
	}
	if err != nil {
		return false, fmt.Errorf("ask the log: %w", err)
	}
	return keeps, nil
}

// exists tells whether a file's stream has begun and not ended.
func (k *Keeper) exists(ctx context.Context, stream string) (bool, error) {
	const page = 500
	begun := false
	for from := int64(1); ; from += page {
		events, err := k.log.ReadStream(ctx, stream, from, page)
		if err != nil {
			return false, err
		}
		for _, event := range events {
			if event.Type == deleted() {
				return false, nil
			}
			begun = true
		}
		if len(events) < page {
			return begun, nil
		}
	}
}

func deleted() string { return eventstore.TypeOf(&eventsv1.FileDeleted{}) }
