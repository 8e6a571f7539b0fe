package app

import (
	"context"
	"fmt"
)

// GetFile asks for a file.
type GetFile struct {
	UserID string
	FileID string
}

// GetFileHandler handles GetFile.
type GetFileHandler struct {
	reading reading
}

// Handle tells of a file that the caller may read. Errors: ErrNotFound.
func (h *GetFileHandler) Handle(ctx context.Context, g GetFile) (File, error) {
	found, err := h.reading.read(ctx, g.FileID, g.UserID)
	if err != nil {
		return File{}, fmt.Errorf("get file: %w", err)
	}
	return found, nil
}
