package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
)

// CreateUpload begins the upload of a file, which goes to the storage itself.
type CreateUpload struct {
	UserID string
	// Name as typed.
	Name string
	// ContentType is the media type, without parameters.
	ContentType string
	// Size is the exact size in bytes.
	Size   int64
	Public bool
}

// UploadCreated is how to send the file.
type UploadCreated struct {
	// FileID is the id that the file will have.
	FileID string
	object.Form
	// ExpiresAt is until when the form is taken and the upload can be completed.
	ExpiresAt time.Time
}

// CreateUploadHandler handles CreateUpload.
type CreateUploadHandler struct {
	people   people
	rows     Rows
	objects  Objects
	now      func() time.Time
	newID    func() (uuid.UUID, error)
	maxBytes int64
	lifetime time.Duration
}

// Handle puts the upload on record and signs its form. Errors:
// *InvalidFieldError, object.ErrUnavailable, ErrNotFound for a person who was erased.
func (h *CreateUploadHandler) Handle(ctx context.Context, c CreateUpload) (UploadCreated, error) {
	created, err := h.handle(ctx, c)
	if err != nil {
		return UploadCreated{}, fmt.Errorf("create upload: %w", err)
	}
	return created, nil
}

func (h *CreateUploadHandler) handle(ctx context.Context, c CreateUpload) (UploadCreated, error) {
	upload, err := h.declared(c)
	if err != nil {
		return UploadCreated{}, err
	}
	// Signing needs no storage, but a form that leads nowhere helps nobody.
	if err := h.objects.Ping(ctx); err != nil {
		return UploadCreated{}, err
	}
	if upload.ID, err = h.newID(); err != nil {
		return UploadCreated{}, fmt.Errorf("make a file's id: %w", err)
	}
	// A policy counts milliseconds, the rows microseconds.
	upload.ExpiresAt = h.now().Add(h.lifetime).UTC().Truncate(time.Millisecond)
	if err := h.rows.BeginUpload(ctx, upload); err != nil {
		return UploadCreated{}, err
	}
	if err := h.people.present(ctx, upload.Owner.String()); err != nil {
		return UploadCreated{}, err
	}
	form, err := h.objects.PresignPost(ctx, upload.Ref(), upload.ContentType, upload.Size, upload.ExpiresAt)
	if err != nil {
		return UploadCreated{}, err
	}
	return UploadCreated{FileID: upload.ID.String(), Form: form, ExpiresAt: upload.ExpiresAt}, nil
}

// declared checks what the upload is to become.
func (h *CreateUploadHandler) declared(c CreateUpload) (store.Upload, error) {
	upload := store.Upload{Size: c.Size, Public: c.Public}
	var err error
	if upload.Owner, err = identifier(c.UserID); err != nil {
		return upload, err
	}
	if upload.Name, err = parsed("name", c.Name, file.ParseName); err != nil {
		return upload, err
	}
	if upload.ContentType, err = parsed("contentType", c.ContentType, file.ParseContentType); err != nil {
		return upload, err
	}
	if c.Size < 1 || c.Size > h.maxBytes {
		return upload, &InvalidFieldError{Field: "size", Problem: fmt.Sprintf("A file has 1 to %d bytes", h.maxBytes)}
	}
	return upload, nil
}
