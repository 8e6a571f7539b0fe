package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/file"
)

// File is a file as somebody may know it.
type File struct {
	file.Facts
	// Readers are told to its owner only.
	Readers []string
	// UploadedAt is when it was completed.
	UploadedAt time.Time
}

func fileOf(loaded eventstore.Loaded[*file.File], viewer string) File {
	view := File{Facts: loaded.State.Facts(), UploadedAt: loaded.FirstAt}
	if loaded.State.OwnedBy(viewer) {
		view.Readers = loaded.State.Readers()
	}
	return view
}

// reading reads files from the log itself, so that what was just shared can be
// read, and what was just deleted cannot.
type reading struct {
	files *eventstore.Repository[*file.File]
}

// read gives a file that the viewer may read; viewer is empty for somebody who is
// not signed in. Errors: ErrNotFound.
func (r reading) read(ctx context.Context, id, viewer string) (File, error) {
	fileID, err := identifier(id)
	if err != nil {
		return File{}, err
	}
	loaded, err := r.files.Load(ctx, file.Stream(fileID.String()), 0)
	if err != nil {
		return File{}, notFound(err)
	}
	if !loaded.State.ReadableBy(viewer) {
		return File{}, notFound(file.ErrNotFound)
	}
	return fileOf(loaded, viewer), nil
}

// changing changes files.
type changing struct {
	files *eventstore.Repository[*file.File]
	rows  Awaiter
}

// change appends what decide makes of a file, waits until lists show it, and
// gives the file as by sees it afterwards. Errors: ErrNotFound,
// eventstore.ErrWrongVersion, and those of decide.
func (c changing) change(ctx context.Context, id uuid.UUID, by string, of eventstore.Context, decide func(*file.File) ([]proto.Message, error)) (File, error) {
	var after eventstore.Loaded[*file.File]
	var decided []proto.Message
	appended, err := c.files.Update(ctx, file.Stream(id.String()), of, func(at eventstore.Loaded[*file.File]) (eventstore.Change, error) {
		var err error
		after = at
		decided, err = decide(at.State)
		return eventstore.Change{Messages: decided}, err
	})
	if err != nil {
		return File{}, notFound(err)
	}
	for _, message := range decided {
		after.State.Apply(eventstore.Opened{Message: message})
	}
	if len(decided) > 0 {
		shown(ctx, c.rows, appended.Position)
	}
	return fileOf(after, by), nil
}

// shown waits until lists show a position. What is not shown in time is done all
// the same, and will be shown.
func shown(ctx context.Context, rows Awaiter, position eventstore.Position) {
	_ = rows.Await(ctx, position)
}

// refusedSharing puts the aggregate's refusals into the words of this package.
func refusedSharing(err error) error {
	if errors.Is(err, file.ErrTooManyReaders) {
		return &InvalidFieldError{Field: "userId", Problem: "A file is shared with at most 100 people; make it public, or take somebody off the list first"}
	}
	return err
}
