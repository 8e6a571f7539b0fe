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
)

// Projection folds media's log into rows. Its zero value works.
type Projection struct{}

var _ projection.Projection = Projection{}

// Name is Name.
func (Projection) Name() string { return Name }

// Tables holds read.files and read.shares.
func (Projection) Tables() []projection.Table {
	return []projection.Table{
		{Name: "read.files", Key: []string{"file_id"}, Sensitive: []string{"name"}},
		{Name: "read.shares", Key: []string{"file_id", "user_id"}},
	}
}

// Handles tells which events change rows, or what is known of objects.
func (Projection) Handles(eventType string) bool {
	switch eventType {
	case eventstore.TypeOf(&eventsv1.FileUploaded{}), eventstore.TypeOf(&eventsv1.FileShared{}), eventstore.TypeOf(&eventsv1.FileUnshared{}),
		eventstore.TypeOf(&eventsv1.FileDeleted{}), eventstore.TypeOf(&eventsv1.AvatarSet{}), eventstore.TypeOf(&eventsv1.AvatarRemoved{}):
		return true
	}
	return false
}

// Apply folds the batch into one change a file, and writes all of them with one
// statement of each kind.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	c, err := fold(events)
	if err != nil {
		return fmt.Errorf("apply to files: %w", err)
	}
	return projection.Write(ctx, tx, "apply to files",
		projection.Statement{SQL: insertFiles, Rows: len(c.uploaded), Arguments: []any{generation, c.uploaded}},
		projection.Statement{SQL: updatePublic, Rows: len(c.public), Arguments: []any{generation, c.public}},
		projection.Statement{SQL: deleteShares, Rows: len(c.unshared), Arguments: []any{generation, c.unshared}},
		projection.Statement{SQL: insertShares, Rows: len(c.shared), Arguments: []any{generation, c.shared}},
		projection.Statement{SQL: deleteFiles, Rows: len(c.deleted), Arguments: []any{generation, c.deleted}},
	)
}

// changes is what a batch does to the rows. It travels to the statements as JSON.
type changes struct {
	uploaded []*upload
	public   []visibility
	shared   []share
	unshared []share
	deleted  []uuid.UUID
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

// folding is the state of a fold over one batch.
type folding struct {
	changes
	files map[uuid.UUID]*fileChange
	order []uuid.UUID
}

// fileChange is what the batch does to one file.
type fileChange struct {
	uploaded *upload
	public   *bool
	readers  map[uuid.UUID]bool // whether each may read it after the batch
	order    []uuid.UUID
	deleted  bool
}

// fold keeps the order in which files first appear, so that two processes at one
// batch take the rows' locks in one order.
func fold(events []eventstore.Opened) (changes, error) {
	f := &folding{files: map[uuid.UUID]*fileChange{}}
	for _, event := range events {
		if err := f.add(event); err != nil {
			return changes{}, fmt.Errorf("event %s: %w", event.ID, err)
		}
	}
	for _, id := range f.order {
		f.gather(id, f.files[id])
	}
	return f.changes, nil
}

func (f *folding) add(event eventstore.Opened) error {
	ids := parser{}
	switch e := event.Message.(type) {
	case *eventsv1.FileUploaded:
		id, owner := ids.parse(e.GetFileId()), ids.parse(e.GetOwnerId())
		if ids.err != nil || event.Erased { // without a name there is nothing to list
			return ids.err
		}
		f.file(id).uploaded = &upload{
			FileID: id, OwnerID: owner, Name: e.GetName(), ContentType: e.GetContentType(),
			Size: e.GetSize(), Public: e.GetPublic(), UploadedAt: event.OccurredAt,
		}
	case *eventsv1.FileShared:
		return f.access(e.GetFileId(), e.GetUserId(), true)
	case *eventsv1.FileUnshared:
		return f.access(e.GetFileId(), e.GetUserId(), false)
	case *eventsv1.FileDeleted:
		f.file(ids.parse(e.GetFileId())).deleted = true
	}
	return ids.err
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
		}
	}
}
