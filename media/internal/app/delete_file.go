package app

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/media/internal/file"
)

// DeleteFile deletes a file for good.
type DeleteFile struct {
	UserID string
	FileID string
	// Any is true for somebody who may delete other people's files.
	Any     bool
	Request Request
}

// DeleteFileHandler handles DeleteFile.
type DeleteFileHandler struct {
	changing changing
}

// Handle deletes the file. Its object and its key follow. Errors: ErrNotFound,
// file.ErrNotYours, eventstore.ErrWrongVersion.
func (h *DeleteFileHandler) Handle(ctx context.Context, d DeleteFile) error {
	if err := h.handle(ctx, d); err != nil {
		return fmt.Errorf("delete file: %w", err)
	}
	return nil
}

func (h *DeleteFileHandler) handle(ctx context.Context, d DeleteFile) error {
	id, err := identifier(d.FileID)
	if err != nil {
		return err
	}
	of := d.Request.by(d.UserID)
	if d.Any {
		loaded, err := h.changing.files.Load(ctx, file.Stream(id.String()), 0)
		if err != nil {
			return notFound(err)
		}
		if !loaded.State.OwnedBy(d.UserID) {
			of = d.Request.byAnother(d.UserID)
		}
	}
	_, err = h.changing.change(ctx, id, d.UserID, of, func(f *file.File) ([]proto.Message, error) {
		return f.Delete(d.UserID, d.Any)
	})
	return err
}
