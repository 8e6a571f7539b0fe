// Package eraser destroys keys. It follows media's own log: once it says that a
// file is deleted or a person erased, the keys that the event names are destroyed
// in the keyring, and what they sealed cannot be opened any more, wherever a copy
// of it lies.
//
// It is a projection without rows: what it has done is known by the versions that
// it has applied, so it goes on where it was interrupted, and doing it again
// changes nothing. While the keyring is away it waits, apart from the projection
// that lists read.
package eraser

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// Name is the projection's key in the database.
const Name = "eraser"

// Eraser destroys the keys of what is deleted.
type Eraser struct {
	keys seal.Destroyer
}

var _ projection.Projection = (*Eraser)(nil)

// New makes an Eraser.
func New(keys seal.Destroyer) *Eraser { return &Eraser{keys: keys} }

// Name is Name.
func (*Eraser) Name() string { return Name }

// Handles tells which events end a stream.
func (*Eraser) Handles(eventType string) bool {
	for _, ending := range []proto.Message{&eventsv1.FileDeleted{}, &eventsv1.OwnerErased{}} {
		if eventType == string(ending.ProtoReflect().Descriptor().FullName()) {
			return true
		}
	}
	return false
}

// Apply destroys the keys of the whole batch at once.
func (e *Eraser) Apply(ctx context.Context, _ pgx.Tx, _ int64, events []eventstore.Opened) error {
	var ids []string
	for _, event := range events {
		if ending, ok := event.Message.(interface{ GetKeyIds() []string }); ok {
			ids = append(ids, ending.GetKeyIds()...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := e.keys.Destroy(ctx, ids); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	return nil
}
