package app

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/platform/secret"
)

// GetFileURL asks for an address from which a file can be read.
type GetFileURL struct {
	// UserID is empty for somebody who is not signed in: public files only.
	UserID string
	FileID string
}

// FileURL is such an address.
type FileURL struct {
	// URL is as good as the file itself until it expires.
	URL       secret.String
	ExpiresAt time.Time
}

// GetFileURLHandler handles GetFileURL.
type GetFileURLHandler struct {
	reading  reading
	objects  Objects
	now      func() time.Time
	lifetime time.Duration
}

// Handle signs an address. A browser saves what it finds there, and runs none of
// it. Errors: ErrNotFound.
func (h *GetFileURLHandler) Handle(ctx context.Context, g GetFileURL) (FileURL, error) {
	address, err := h.handle(ctx, g)
	if err != nil {
		return FileURL{}, fmt.Errorf("get file URL: %w", err)
	}
	return address, nil
}

func (h *GetFileURLHandler) handle(ctx context.Context, g GetFileURL) (FileURL, error) {
	found, err := h.reading.read(ctx, g.FileID, g.UserID)
	if err != nil {
		return FileURL{}, err
	}
	ref := object.Ref{Kind: object.File}
	if ref.ID, err = identifier(found.ID); err != nil {
		return FileURL{}, err
	}
	if ref.Owner, err = identifier(found.OwnerID); err != nil {
		return FileURL{}, err
	}
	expiresAt := h.now().Add(h.lifetime).UTC()
	address, err := h.objects.PresignGet(ctx, ref, file.Disposition(found.Name), file.ServedAs(found.ContentType), h.lifetime)
	if err != nil {
		return FileURL{}, err
	}
	return FileURL{URL: address, ExpiresAt: expiresAt}, nil
}
