package app

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/media/internal/file"
)

// UnshareFile takes back that somebody may read a file.
type UnshareFile struct {
	UserID string
	FileID string
	// With is the person's id; empty for everyone.
	With    string
	Request Request
}

// UnshareFileHandler handles UnshareFile.
type UnshareFileHandler struct {
	changing changing
}

// Handle takes it back, and changes nothing where there is nothing to take back.
// Errors: ErrNotFound, *InvalidFieldError, eventstore.ErrWrongVersion.
func (h *UnshareFileHandler) Handle(ctx context.Context, u UnshareFile) (File, error) {
	unshared, err := h.handle(ctx, u)
	if err != nil {
		return File{}, fmt.Errorf("unshare file: %w", err)
	}
	return unshared, nil
}

func (h *UnshareFileHandler) handle(ctx context.Context, u UnshareFile) (File, error) {
	id, err := identifier(u.FileID)
	if err != nil {
		return File{}, err
	}
	reader, err := readerOf(u.With)
	if err != nil {
		return File{}, err
	}
	return h.changing.change(ctx, id, u.UserID, u.Request.by(u.UserID), func(f *file.File) ([]proto.Message, error) {
		return f.Unshare(u.UserID, reader)
	})
}
