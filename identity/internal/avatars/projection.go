package avatars

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/identity/internal/user"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// Name is the projection's key in the database.
const Name = "avatars"

var (
	//go:embed queries/lock_shared.sql
	lockShared string
	//go:embed queries/set.sql
	setRows string
	//go:embed queries/remove.sql
	removeRows string
)

// Projection folds media's log into read.avatars. Its zero value works.
type Projection struct{}

var _ projection.Projection = Projection{}

// Name is Name.
func (Projection) Name() string { return Name }

// Tables holds read.avatars.
func (Projection) Tables() []projection.Table {
	return []projection.Table{{Name: "read.avatars", Key: []string{"user_id"}}}
}

// Handles tells which events change who has which picture.
func (Projection) Handles(eventType string) bool {
	return eventType == eventstore.TypeOf(&eventsv1.AvatarSet{}) || eventType == eventstore.TypeOf(&eventsv1.AvatarRemoved{})
}

// change is what a batch does to one person's row: the last event decides.
type change struct {
	UserID uuid.UUID `json:"user_id"`
	// Stream of the account in identity's log.
	Stream   string    `json:"stream"`
	AvatarID uuid.UUID `json:"avatar_id"`
	Version  int64     `json:"version"`

	removed bool
}

// Apply folds the batch into one change a person. Beside the projection's own
// rows it reads from identity's log who was erased: that never changes back, so
// the rows still depend on the events alone.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	changes, err := fold(events)
	if err != nil {
		return fmt.Errorf("apply to avatars: %w", err)
	}
	var set []change
	var removed []uuid.UUID
	for _, c := range changes {
		if c.removed {
			removed = append(removed, c.UserID)
		} else {
			set = append(set, *c)
		}
	}
	if len(set) > 0 {
		// A statement of its own, so that the next one sees what was committed
		// before the lock was had.
		if _, err := tx.Exec(ctx, lockShared); err != nil {
			return fmt.Errorf("apply to avatars: lock: %w", err)
		}
		if _, err := tx.Exec(ctx, setRows, generation, set, eventstore.TypeOf(&identityeventsv1.UserErased{})); err != nil {
			return fmt.Errorf("apply to avatars: %w", err)
		}
	}
	if len(removed) > 0 {
		if _, err := tx.Exec(ctx, removeRows, generation, removed); err != nil {
			return fmt.Errorf("apply to avatars: %w", err)
		}
	}
	return nil
}

// fold keeps the order in which people first appear, so that two processes at
// one batch take the rows' locks in one order.
func fold(events []eventstore.Opened) ([]*change, error) {
	var changes []*change
	byUser := make(map[uuid.UUID]*change)
	for _, event := range events {
		next := change{Version: event.Version}
		var userID, avatarID string
		switch message := event.Message.(type) {
		case *eventsv1.AvatarSet:
			userID, avatarID = message.GetUserId(), message.GetAvatarId()
		case *eventsv1.AvatarRemoved:
			userID, avatarID, next.removed = message.GetUserId(), message.GetAvatarId(), true
		default:
			return nil, fmt.Errorf("event %s: a %s is about no avatar", event.ID, event.Type)
		}
		var err error
		if next.UserID, err = uuid.Parse(userID); err != nil {
			return nil, fmt.Errorf("event %s: its user id is no UUID", event.ID)
		}
		if next.AvatarID, err = uuid.Parse(avatarID); err != nil && !next.removed {
			return nil, fmt.Errorf("event %s: its avatar id is no UUID", event.ID)
		}
		next.Stream = user.Stream(next.UserID.String())
		if c := byUser[next.UserID]; c != nil {
			*c = next
			continue
		}
		byUser[next.UserID] = &next
		changes = append(changes, &next)
	}
	return changes, nil
}
