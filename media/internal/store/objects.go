package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/media/internal/object"
)

var (
	//go:embed queries/begin_object.sql
	beginObject string
	//go:embed queries/begin_upload.sql
	beginUpload string
	//go:embed queries/upload.sql
	uploadSQL string
	//go:embed queries/doom_upload.sql
	doomUpload string
	//go:embed queries/doom_uploads_of.sql
	doomUploadsOf string
	//go:embed queries/avatar_owner.sql
	avatarOwner string
	//go:embed queries/files_of.sql
	filesOf string
)

// window is how long a call of ours may take from the row to the event.
const window = 2 * time.Minute

// BeginObject puts an object on record that is about to be put. Unless an event
// keeps it, it is swept. Errors: ErrDoomed.
func (s *Store) BeginObject(ctx context.Context, ref object.Ref) error {
	until := s.now().Add(window)
	tag, err := s.pool.Exec(ctx, beginObject, ref.Kind, ref.ID, ref.Owner, until, until.Add(Grace))
	if err != nil {
		return fmt.Errorf("put object on record: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("put object on record: %w", ErrDoomed)
	}
	return nil
}

// Upload is what was declared of a file that is to come.
type Upload struct {
	ID, Owner   uuid.UUID
	Name        string
	ContentType string
	// Size in bytes.
	Size   int64
	Public bool
	// ExpiresAt is until when its form is good and it can be completed.
	ExpiresAt time.Time
}

// Ref names the object that the form writes.
func (u Upload) Ref() object.Ref { return object.Ref{Kind: object.Upload, Owner: u.Owner, ID: u.ID} }

// BeginUpload puts an upload on record, with the object that its form may write.
func (s *Store) BeginUpload(ctx context.Context, u Upload) error {
	_, err := s.pool.Exec(ctx, beginUpload, u.ID, u.Owner, u.Name, u.ContentType, u.Size, u.Public, u.ExpiresAt, u.ExpiresAt.Add(Grace))
	if err != nil {
		return fmt.Errorf("put upload on record: %w", err)
	}
	return nil
}

// Upload tells what was declared; ErrNotFound once it was completed, refused or swept.
func (s *Store) Upload(ctx context.Context, id uuid.UUID) (Upload, error) {
	found := Upload{ID: id}
	err := s.pool.QueryRow(ctx, uploadSQL, id).Scan(&found.Owner, &found.Name, &found.ContentType, &found.Size, &found.Public, &found.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Upload{}, fmt.Errorf("read upload: %w", err)
	}
	return found, nil
}

// RefuseUpload ends an upload whose content is not what was declared.
func (s *Store) RefuseUpload(ctx context.Context, id uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, doomUpload, id, s.now()); err != nil {
		return fmt.Errorf("refuse upload: %w", err)
	}
	return nil
}

// RefuseUploadsOf ends all uploads of a person, inside tx.
func (s *Store) RefuseUploadsOf(ctx context.Context, tx pgx.Tx, owner uuid.UUID) error {
	if _, err := tx.Exec(ctx, doomUploadsOf, owner, s.now()); err != nil {
		return fmt.Errorf("refuse uploads: %w", err)
	}
	return nil
}

// Avatar names the object of a picture that is not to be deleted, or ErrNotFound.
func (s *Store) Avatar(ctx context.Context, id uuid.UUID) (object.Ref, error) {
	found := object.Ref{Kind: object.Avatar, ID: id}
	err := s.pool.QueryRow(ctx, avatarOwner, id).Scan(&found.Owner)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return object.Ref{}, fmt.Errorf("find picture: %w", err)
	}
	return found, nil
}

// FilesOf gives at most limit ids of a person's files after the given one, in
// their order, inside tx: also of those that are being completed at this moment.
func (s *Store) FilesOf(ctx context.Context, tx pgx.Tx, owner, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, filesOf, owner, after, limit)
	if err != nil {
		return nil, fmt.Errorf("find files: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("find files: %w", err)
	}
	return ids, nil
}
