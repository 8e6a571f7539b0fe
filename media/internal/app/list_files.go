package app

import (
	"context"
	"fmt"

	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/store"
)

// ListFiles asks for a page of files, the newest first.
type ListFiles struct {
	UserID string
	// Shared asks for those that others share with the caller, instead of the
	// caller's own.
	Shared bool
	// After is where the page before ended; nil for the first.
	After *store.Place
	// Limit is how many at most.
	Limit int
}

// FilePage is a page of files.
type FilePage struct {
	Files []File
	// Next is where the page ended; nil after the last.
	Next *store.Place
}

// ListFilesHandler handles ListFiles.
type ListFilesHandler struct {
	rows Rows
}

// Handle reads the page from the rows of the projection.
func (h *ListFilesHandler) Handle(ctx context.Context, l ListFiles) (FilePage, error) {
	person, err := identifier(l.UserID)
	if err != nil {
		return FilePage{}, fmt.Errorf("list files: %w", err)
	}
	list := h.rows.OwnFiles
	if l.Shared {
		list = h.rows.SharedFiles
	}
	// One more than asked for tells whether there is another page.
	found, err := list(ctx, person, l.After, l.Limit+1)
	if err != nil {
		return FilePage{}, err
	}
	var page FilePage
	if len(found) > l.Limit {
		found = found[:l.Limit]
		last := found[l.Limit-1]
		page.Next = &store.Place{UploadedAt: last.UploadedAt, ID: last.ID}
	}
	page.Files = make([]File, len(found))
	for i, f := range found {
		page.Files[i] = listed(f)
	}
	return page, nil
}

func listed(f store.File) File {
	view := File{
		Facts: file.Facts{
			ID: f.ID.String(), OwnerID: f.Owner.String(), Name: f.Name, ContentType: f.ContentType, Size: f.Size, Public: f.Public,
		},
		UploadedAt: f.UploadedAt,
	}
	for _, reader := range f.Readers {
		view.Readers = append(view.Readers, reader.String())
	}
	return view
}
