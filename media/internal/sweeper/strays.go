package sweeper

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
)

// Listing lists what was uploaded.
type Listing interface {
	// Uploads calls visit with the uploads that were last written before, a page at
	// a time.
	Uploads(ctx context.Context, before time.Time, visit func([]object.Ref) error) error
	Objects
}

// Known tells which uploads have a row.
type Known interface {
	KnownUploads(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error)
}

// Uploaded finds strays: a post may begin in time and end hours after its form has
// expired, when its row is long gone.
type Uploaded struct {
	objects Listing
	rows    Known
	now     func() time.Time
}

// NewUploaded makes one.
func NewUploaded(objects Listing, rows Known, now func() time.Time) *Uploaded {
	return &Uploaded{objects: objects, rows: rows, now: now}
}

// DeleteStrays deletes uploads that no form can write and no row knows any more.
func (u *Uploaded) DeleteStrays(ctx context.Context) (deleted int, err error) {
	err = u.objects.Uploads(ctx, u.now().Add(-object.LongestUpload-store.Grace), func(refs []object.Ref) error {
		ids := make([]uuid.UUID, len(refs))
		for i, ref := range refs {
			ids[i] = ref.ID
		}
		known, err := u.rows.KnownUploads(ctx, ids)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if known[ref.ID] {
				continue
			}
			if err := u.objects.Delete(ctx, ref); err != nil {
				return err
			}
			deleted++
		}
		return nil
	})
	return deleted, err
}
