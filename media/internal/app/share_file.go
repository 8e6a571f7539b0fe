package app

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/media/internal/file"
)

// ShareFile lets one more person read a file.
type ShareFile struct {
	UserID string
	FileID string
	// With is the person's id; empty for everyone.
	With    string
	Request Request
}

// ShareFileHandler handles ShareFile.
type ShareFileHandler struct {
	accounts Accounts
	people   people
	changing changing
}

// Handle shares the file, and changes nothing where it is shared so already.
// Errors: ErrNotFound, *InvalidFieldError, also for an id that nobody has,
// eventstore.ErrWrongVersion, or those of the way to identity.
func (h *ShareFileHandler) Handle(ctx context.Context, s ShareFile) (File, error) {
	shared, err := h.handle(ctx, s)
	if err != nil {
		return File{}, fmt.Errorf("share file: %w", err)
	}
	return shared, nil
}

func (h *ShareFileHandler) handle(ctx context.Context, s ShareFile) (File, error) {
	id, err := identifier(s.FileID)
	if err != nil {
		return File{}, err
	}
	reader, err := readerOf(s.With)
	if err != nil {
		return File{}, err
	}
	if err := h.known(ctx, reader); err != nil {
		return File{}, err
	}
	of := s.Request.by(s.UserID)
	share := func(f *file.File) ([]proto.Message, error) {
		messages, err := f.Share(s.UserID, reader)
		return messages, refusedSharing(err)
	}
	shared, err := h.changing.change(ctx, id, s.UserID, of, share)
	if err != nil || reader == "" {
		return shared, err
	}
	// Somebody who is erased leaves all lists, so nobody comes onto one afterwards.
	if err := h.people.present(ctx, reader); !errors.Is(err, ErrNotFound) {
		return shared, err
	}
	return h.changing.change(ctx, id, s.UserID, of, func(f *file.File) ([]proto.Message, error) {
		return f.Unshare(s.UserID, reader)
	})
}

// known refuses an id that nobody has, a mistyped one for example.
func (h *ShareFileHandler) known(ctx context.Context, reader string) error {
	if reader == "" {
		return nil
	}
	opened, err := h.accounts.Opened(ctx, reader)
	if err != nil {
		return fmt.Errorf("look for the person: %w", err)
	}
	if !opened {
		return &InvalidFieldError{Field: "userId", Problem: "There is nobody with this id"}
	}
	return nil
}

// readerOf brings the id of a reader into the spelling that tokens have.
func readerOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	id, err := identifier(text)
	if err != nil {
		return "", &InvalidFieldError{Field: "userId", Problem: "A person's id is a UUID"}
	}
	return id.String(), nil
}
