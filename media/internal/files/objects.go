package files

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/media/internal/object"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

var (
	//go:embed queries/close_uploads.sql
	closeUploads string
	//go:embed queries/keep_objects.sql
	keepObjects string
	//go:embed queries/doom_objects.sql
	doomObjects string
	//go:embed queries/doom_former.sql
	doomFormer string
)

var _ projection.Reactor = Projection{}

// React writes what the batch says of objects: which are kept, which have to go,
// and which uploads are done with.
func (Projection) React(ctx context.Context, tx pgx.Tx, events []eventstore.Opened) error {
	o, err := objectsOf(events)
	if err != nil {
		return fmt.Errorf("keep objects: %w", err)
	}
	return projection.Write(ctx, tx, "keep objects",
		projection.Statement{SQL: closeUploads, Rows: len(o.closed), Arguments: []any{o.closed, o.at}},
		// Kept before doomed: what one batch keeps and gives up has to go.
		projection.Statement{SQL: keepObjects, Rows: len(o.kept), Arguments: []any{o.kept, o.at}},
		projection.Statement{SQL: doomObjects, Rows: len(o.doomed), Arguments: []any{o.doomed, o.at}},
		projection.Statement{SQL: doomFormer, Rows: len(o.former), Arguments: []any{o.former, o.at, o.owners}},
	)
}

// objects is what a batch says of them. It travels to the statements as JSON.
type objects struct {
	closed []uuid.UUID // uploads that have become files
	kept   []keeping
	doomed []keeping
	former []*keeping  // avatars, of which all before the version are doomed
	owners []uuid.UUID // whose they are
	// at is when the newest event of the batch occurred: objects are due from then on.
	at time.Time
}

type keeping struct {
	Kind    object.Kind `json:"kind"`
	ID      uuid.UUID   `json:"object_id"`
	OwnerID uuid.UUID   `json:"owner_id"`
	Version int64       `json:"version"`
}

// objectsOf keeps the order of the events, for the reason that fold tells.
func objectsOf(events []eventstore.Opened) (objects, error) {
	var o objects
	former := map[uuid.UUID]*keeping{} // by owner
	for _, event := range events {
		if event.OccurredAt.After(o.at) {
			o.at = event.OccurredAt
		}
		of, ok, err := objectOf(event)
		if err != nil {
			return objects{}, fmt.Errorf("event %s: %w", event.ID, err)
		}
		if !ok {
			continue
		}
		switch event.Message.(type) {
		case *eventsv1.FileUploaded:
			o.closed = append(o.closed, of.ID)
			if event.Erased {
				// It was deleted, also where an older copy of the log has lost its deletion.
				o.doomed = append(o.doomed, of)
				continue
			}
			o.kept = append(o.kept, of)
		case *eventsv1.AvatarSet:
			o.kept = append(o.kept, of)
		default:
			o.doomed = append(o.doomed, of)
		}
		if of.Kind != object.Avatar {
			continue
		}
		// All earlier pictures of the person are former ones.
		if former[of.OwnerID] == nil {
			former[of.OwnerID] = &keeping{Kind: object.Avatar, OwnerID: of.OwnerID}
			o.former, o.owners = append(o.former, former[of.OwnerID]), append(o.owners, of.OwnerID)
		}
		former[of.OwnerID].Version = of.Version
	}
	return o, nil
}

// objectOf is the object that an event is about; false where it is about none.
func objectOf(event eventstore.Opened) (of keeping, ok bool, err error) {
	ids := parser{}
	of.Version = event.Version
	switch e := event.Message.(type) {
	case *eventsv1.FileUploaded:
		of.Kind, of.ID, of.OwnerID = object.File, ids.parse(e.GetFileId()), ids.parse(e.GetOwnerId())
	case *eventsv1.FileDeleted:
		of.Kind, of.ID, of.OwnerID = object.File, ids.parse(e.GetFileId()), ids.parse(e.GetOwnerId())
	case *eventsv1.AvatarSet:
		of.Kind, of.ID, of.OwnerID = object.Avatar, ids.parse(e.GetAvatarId()), ids.parse(e.GetUserId())
	case *eventsv1.AvatarRemoved:
		of.Kind, of.ID, of.OwnerID = object.Avatar, ids.parse(e.GetAvatarId()), ids.parse(e.GetUserId())
	default:
		return keeping{}, false, nil
	}
	return of, true, ids.err
}
