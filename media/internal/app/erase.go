package app

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
	"github.com/muster-id/muster/media/internal/file"
)

// Erasure ends what a person has who is erased. Ending something again changes nothing.
type Erasure struct {
	avatars *eventstore.Repository[*avatar.Avatar]
	files   *eventstore.Repository[*file.File]
}

// EraseOwner ends the stream of the person's avatar and gives its position:
// nothing new is taken from the person afterwards.
func (e *Erasure) EraseOwner(ctx context.Context, userID string) (eventstore.Position, error) {
	at, _, err := change(ctx, e.avatars, avatar.Stream(userID), own(), func(a *avatar.Avatar) ([]proto.Message, error) {
		return a.EndOf(userID), nil
	})
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("end avatar: %w", err)
	}
	return at, nil
}

// EraseFile ends the stream of a file, also one that has not begun.
func (e *Erasure) EraseFile(ctx context.Context, fileID, ownerID string) error {
	_, _, err := change(ctx, e.files, file.Stream(fileID), own(), func(f *file.File) ([]proto.Message, error) {
		return f.End(fileID, ownerID), nil
	})
	if err != nil {
		return fmt.Errorf("end file: %w", err)
	}
	return nil
}

// ForgetReader takes a person off a file's access list.
func (e *Erasure) ForgetReader(ctx context.Context, fileID, readerID string) error {
	_, _, err := change(ctx, e.files, file.Stream(fileID), own(), func(f *file.File) ([]proto.Message, error) {
		return f.Forget(readerID), nil
	})
	if err != nil {
		return fmt.Errorf("forget reader: %w", err)
	}
	return nil
}
