package files

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/media/internal/object"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// Name is the projection's key in the database.
const Name = "files"

var (
	//go:embed queries/insert_files.sql
	insertFiles string
	//go:embed queries/update_public.sql
	updatePublic string
	//go:embed queries/delete_shares.sql
	deleteShares string
	//go:embed queries/insert_shares.sql
	insertShares string
	//go:embed queries/delete_files.sql
	deleteFiles string
	//go:embed queries/keep_objects.sql
	keepObjects string
	//go:embed queries/doom_objects.sql
	doomObjects string
	//go:embed queries/doom_former.sql
	doomFormer string
	//go:embed queries/close_uploads.sql
	closeUploads string
)

// Projection folds media's log into rows. Its zero value works.
type Projection struct{}

var _ projection.Projection = Projection{}

// Name is Name.
func (Projection) Name() string { return Name }

// Handles tells which events change rows.
func (Projection) Handles(eventType string) bool {
	switch eventType {
	case typeOf(&eventsv1.FileUploaded{}), typeOf(&eventsv1.FileShared{}), typeOf(&eventsv1.FileUnshared{}),
		typeOf(&eventsv1.FileDeleted{}), typeOf(&eventsv1.AvatarSet{}), typeOf(&eventsv1.AvatarRemoved{}):
		return true
	}
	return false
}

func typeOf(message proto.Message) string {
	return string(message.ProtoReflect().Descriptor().FullName())
}

// Apply folds the batch into one change a file and a person, and writes all of
// them with one statement of each kind.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	c, err := fold(events)
	if err != nil {
		return fmt.Errorf("apply to files: %w", err)
	}
	for _, step := range []struct {
		statement string
		rows      int
		arguments []any
	}{
		{insertFiles, len(c.uploaded), []any{generation, c.uploaded}},
		{updatePublic, len(c.public), []any{generation, c.public}},
		{deleteShares, len(c.unshared), []any{generation, c.unshared, c.left}},
		{insertShares, len(c.shared), []any{generation, c.shared}},
		{deleteFiles, len(c.deleted), []any{generation, c.deleted}},
		{closeUploads, len(c.closed), []any{c.closed, c.at}},
		// Kept before doomed: what one batch keeps and gives up has to go.
		{keepObjects, len(c.kept), []any{c.kept, c.at}},
		{doomObjects, len(c.doomed), []any{c.doomed, c.at}},
		{doomFormer, len(c.former), []any{c.former, c.at, c.owners}},
	} {
		if step.rows == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, step.statement, step.arguments...); err != nil {
			return fmt.Errorf("apply to files: %w", err)
		}
	}
	return nil
}

// changes is what a batch does to the rows. It travels to the statements as JSON.
type changes struct {
	uploaded []*upload
	public   []visibility
	shared   []share
	unshared []share
	left     []uuid.UUID // files that somebody may read no longer
	deleted  []uuid.UUID

	closed []uuid.UUID // uploads that have become files
	kept   []keeping
	doomed []keeping
	former []keeping   // avatars, of which all before the version are doomed
	owners []uuid.UUID // whose they are
	// at is when the newest event of the batch occurred: objects are due from then on.
	at time.Time
}

type upload struct {
	FileID      uuid.UUID `json:"file_id"`
	OwnerID     uuid.UUID `json:"owner_id"`
	Name        string    `json:"name"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`
	Public      bool      `json:"public"`
	UploadedAt  time.Time `json:"uploaded_at"`
}

type visibility struct {
	FileID uuid.UUID `json:"file_id"`
	Public bool      `json:"public"`
}

type share struct {
	FileID uuid.UUID `json:"file_id"`
	UserID uuid.UUID `json:"user_id"`
}

type keeping struct {
	Kind    object.Kind `json:"kind"`
	ID      uuid.UUID   `json:"object_id"`
	OwnerID uuid.UUID   `json:"owner_id"`
	Version int64       `json:"version"`
}

// folding is the state of a fold over one batch.
type folding struct {
	changes
	files  map[uuid.UUID]*fileChange
	order  []uuid.UUID
	former map[uuid.UUID]*keeping // by owner
}

// fileChange is what the batch does to one file.
type fileChange struct {
	uploaded *upload
	public   *bool
	readers  map[uuid.UUID]bool // whether each may read it after the batch
	order    []uuid.UUID
	deleted  bool
}

// fold keeps the order in which files and people first appear, so that two
// processes at one batch take the rows' locks in one order.
func fold(events []eventstore.Opened) (changes, error) {
	f := &folding{files: map[uuid.UUID]*fileChange{}, former: map[uuid.UUID]*keeping{}}
	for _, event := range events {
		if err := f.add(event); err != nil {
			return changes{}, fmt.Errorf("event %s: %w", event.ID, err)
		}
		if event.OccurredAt.After(f.at) {
			f.at = event.OccurredAt
		}
	}
	for _, id := range f.order {
		f.gather(id, f.files[id])
	}
	for _, owner := range f.owners {
		f.changes.former = append(f.changes.former, *f.former[owner])
	}
	return f.changes, nil
}

func (f *folding) add(event eventstore.Opened) error {
	ids := parser{}
	switch e := event.Message.(type) {
	case *eventsv1.FileUploaded:
		id, owner := ids.parse(e.GetFileId()), ids.parse(e.GetOwnerId())
		if ids.err != nil {
			return ids.err
		}
		f.closed = append(f.closed, id)
		of := keeping{object.File, id, owner, event.Version}
		if event.Erased {
			// It was deleted, also where an older copy of the log has lost its deletion.
			f.doomed = append(f.doomed, of)
			return nil
		}
		f.kept = append(f.kept, of)
		f.file(id).uploaded = &upload{
			FileID: id, OwnerID: owner, Name: e.GetName(), ContentType: e.GetContentType(),
			Size: e.GetSize(), Public: e.GetPublic(), UploadedAt: event.OccurredAt,
		}
	case *eventsv1.FileShared:
		return f.access(e.GetFileId(), e.GetUserId(), true)
	case *eventsv1.FileUnshared:
		return f.access(e.GetFileId(), e.GetUserId(), false)
	case *eventsv1.FileDeleted:
		id, owner := ids.parse(e.GetFileId()), ids.parse(e.GetOwnerId())
		if ids.err != nil {
			return ids.err
		}
		f.file(id).deleted = true
		f.doomed = append(f.doomed, keeping{object.File, id, owner, event.Version})
	case *eventsv1.AvatarSet:
		id, owner := ids.parse(e.GetAvatarId()), ids.parse(e.GetUserId())
		if ids.err != nil {
			return ids.err
		}
		f.kept = append(f.kept, keeping{object.Avatar, id, owner, event.Version})
		f.before(owner, event.Version)
	case *eventsv1.AvatarRemoved:
		id, owner := ids.parse(e.GetAvatarId()), ids.parse(e.GetUserId())
		if ids.err != nil {
			return ids.err
		}
		f.doomed = append(f.doomed, keeping{object.Avatar, id, owner, event.Version})
		f.before(owner, event.Version)
	}
	return nil
}

// parser parses ids and remembers the first fault.
type parser struct{ err error }

func (p *parser) parse(text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("an id of it is no UUID")
	}
	return id
}

func (f *folding) file(id uuid.UUID) *fileChange {
	if f.files[id] == nil {
		f.files[id] = &fileChange{readers: map[uuid.UUID]bool{}}
		f.order = append(f.order, id)
	}
	return f.files[id]
}

func (f *folding) access(fileID, userID string, may bool) error {
	ids := parser{}
	file := f.file(ids.parse(fileID))
	if userID == "" {
		file.public = &may
		return ids.err
	}
	reader := ids.parse(userID)
	if _, seen := file.readers[reader]; !seen {
		file.order = append(file.order, reader)
	}
	file.readers[reader] = may
	return ids.err
}

// before says that all pictures of a person up to a version are former ones.
func (f *folding) before(owner uuid.UUID, version int64) {
	if f.former[owner] == nil {
		f.former[owner] = &keeping{Kind: object.Avatar, OwnerID: owner}
		f.owners = append(f.owners, owner)
	}
	f.former[owner].Version = version
}

func (f *folding) gather(id uuid.UUID, file *fileChange) {
	if file.deleted {
		f.deleted = append(f.deleted, id)
		return
	}
	if file.uploaded != nil {
		if file.public != nil {
			file.uploaded.Public = *file.public
		}
		f.uploaded = append(f.uploaded, file.uploaded)
	} else if file.public != nil {
		f.public = append(f.public, visibility{id, *file.public})
	}
	for _, reader := range file.order {
		if file.readers[reader] {
			f.shared = append(f.shared, share{id, reader})
		} else {
			f.unshared = append(f.unshared, share{id, reader})
			f.left = append(f.left, id)
		}
	}
}
