package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
)

// CompleteUpload makes a file of what was uploaded.
type CompleteUpload struct {
	UserID  string
	FileID  string
	Request Request
}

// CompleteUploadHandler handles CompleteUpload.
type CompleteUploadHandler struct {
	people  people
	reading reading
	files   *eventstore.Repository[*file.File]
	rows    Rows
	objects Objects
	lists   Awaiter
	now     func() time.Time
}

// Handle checks what was uploaded against what was declared and makes it a file.
// Completing it again gives the same file. Errors: ErrNotFound,
// ErrUploadIncomplete, ErrUploadExpired, ErrUploadMismatch, object.ErrChanged
// where it was uploaded anew at the same time, object.ErrUnavailable.
func (h *CompleteUploadHandler) Handle(ctx context.Context, c CompleteUpload) (File, error) {
	completed, err := h.handle(ctx, c)
	if err != nil {
		return File{}, fmt.Errorf("complete upload: %w", err)
	}
	return completed, nil
}

func (h *CompleteUploadHandler) handle(ctx context.Context, c CompleteUpload) (File, error) {
	owner, err := identifier(c.UserID)
	if err != nil {
		return File{}, err
	}
	id, err := identifier(c.FileID)
	if err != nil {
		return File{}, err
	}
	if done, err := h.done(ctx, id, owner); !errors.Is(err, ErrNotFound) {
		return done, err
	}
	if err := h.complete(ctx, id, owner, c.Request); err != nil {
		// Its own double may have been faster, and be the very reason.
		if done, doneErr := h.done(ctx, id, owner); doneErr == nil {
			return done, nil
		}
		return File{}, err
	}
	return h.done(ctx, id, owner)
}

// done gives the file where the upload was completed before, to its owner only: a
// reader has not uploaded it.
func (h *CompleteUploadHandler) done(ctx context.Context, id, owner uuid.UUID) (File, error) {
	found, err := h.reading.read(ctx, id.String(), owner.String())
	if err == nil && found.OwnerID != owner.String() {
		return File{}, ErrNotFound
	}
	return found, err
}

func (h *CompleteUploadHandler) complete(ctx context.Context, id, owner uuid.UUID, request Request) error {
	upload, err := h.rows.Upload(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return err
	case upload.Owner != owner:
		return ErrNotFound
	case !h.now().Before(upload.ExpiresAt):
		return ErrUploadExpired
	}
	etag, err := h.verify(ctx, upload)
	if err != nil {
		return err
	}
	return h.keep(ctx, upload, etag, request)
}

// verify names the content that is what was declared.
func (h *CompleteUploadHandler) verify(ctx context.Context, upload store.Upload) (etag string, err error) {
	found, err := h.objects.Stat(ctx, upload.Ref())
	if err != nil {
		return "", incomplete(err)
	}
	if found.Size != upload.Size || found.ContentType != upload.ContentType {
		return "", h.refuse(ctx, upload)
	}
	head, err := h.objects.Head(ctx, upload.Ref(), found.ETag, file.SniffedBytes)
	if err != nil {
		return "", incomplete(err)
	}
	if !file.Matches(upload.ContentType, head) {
		return "", h.refuse(ctx, upload)
	}
	return found.ETag, nil
}

// incomplete: what is not there has not been uploaded yet.
func incomplete(err error) error {
	if errors.Is(err, object.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrUploadIncomplete, err)
	}
	return err
}

func (h *CompleteUploadHandler) refuse(ctx context.Context, upload store.Upload) error {
	if err := h.rows.RefuseUpload(ctx, upload.ID); err != nil {
		return err
	}
	return ErrUploadMismatch
}

// keep copies the very content that was verified to where no form can write, and
// appends the file.
func (h *CompleteUploadHandler) keep(ctx context.Context, upload store.Upload, etag string, request Request) error {
	ref := object.Ref{Kind: object.File, Owner: upload.Owner, ID: upload.ID}
	if err := h.rows.BeginObject(ctx, ref); err != nil {
		if errors.Is(err, store.ErrDoomed) {
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return err
	}
	if err := h.people.present(ctx, upload.Owner.String()); err != nil {
		return err
	}
	if err := h.objects.Copy(ctx, upload.Ref(), etag, ref); err != nil {
		return incomplete(err)
	}
	messages := file.Upload(file.Facts{
		ID:          upload.ID.String(),
		OwnerID:     upload.Owner.String(),
		Name:        upload.Name,
		ContentType: upload.ContentType,
		Size:        upload.Size,
		Public:      upload.Public,
	})
	appended, err := h.files.Create(ctx, file.Stream(upload.ID.String()), eventstore.Change{Messages: messages}, request.by(upload.Owner.String()))
	if errors.Is(err, eventstore.ErrWrongVersion) {
		// Its double was faster, or the stream has ended: the file tells, or there is none.
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return err
	}
	shown(ctx, h.lists, appended.Position)
	return nil
}
