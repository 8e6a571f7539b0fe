// Package eraser destroys keys. It follows media's own log: once it says that a
// file is deleted or a person erased, the keys that the event names are destroyed
// in the keyring, and what they sealed cannot be opened any more, wherever a copy
// of it lies.
//
// It is a projection without rows: what it has done is known by the versions that
// it has applied, so it goes on where it was interrupted, and doing it again
// changes nothing. While the keyring is away it waits, apart from the projection
// that lists read. A key that the keyring refuses to destroy parks its event.
package eraser

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// Name is the projection's key in the database.
const Name = "eraser"

// ErrRefused: the keyring is there and will not destroy a key, since it was made
// for another service.
var ErrRefused = errors.New("the keyring refuses")

// Eraser destroys the keys of what is deleted.
type Eraser struct {
	keys seal.Destroyer
}

var (
	_ projection.Projection = (*Eraser)(nil)
	_ projection.Reactor    = (*Eraser)(nil)
)

// New makes an Eraser.
func New(keys seal.Destroyer) *Eraser { return &Eraser{keys: keys} }

// Name is Name.
func (*Eraser) Name() string { return Name }

// Tables is nil: there are no rows.
func (*Eraser) Tables() []projection.Table { return nil }

// Handles tells which events end a stream.
func (*Eraser) Handles(eventType string) bool {
	for _, ending := range []proto.Message{&eventsv1.FileDeleted{}, &eventsv1.OwnerErased{}} {
		if eventType == eventstore.TypeOf(ending) {
			return true
		}
	}
	return false
}

// Apply does nothing: there are no rows.
func (*Eraser) Apply(context.Context, pgx.Tx, int64, []eventstore.Opened) error { return nil }

// React destroys the keys of the whole batch at once.
func (e *Eraser) React(ctx context.Context, _ pgx.Tx, events []eventstore.Opened) error {
	var ids []string
	for _, event := range events {
		ending, ok := event.Message.(interface{ GetKeyIds() []string })
		if !ok {
			continue
		}
		for _, id := range ending.GetKeyIds() {
			if _, err := uuid.Parse(id); err != nil {
				return fmt.Errorf("destroy keys: event %s: a key id of it is no UUID", event.ID)
			}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := e.keys.Destroy(ctx, ids); err != nil {
		return fmt.Errorf("destroy keys: %w", away(err))
	}
	return nil
}

// away says of all but a refusal that it will pass. Of a refusal it keeps the
// text alone: an error of an RPC counts as one that passes.
func away(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodePermissionDenied:
		return fmt.Errorf("%w: %s", ErrRefused, err.Error())
	default:
		return fmt.Errorf("%w: %w", projection.ErrAway, err)
	}
}
