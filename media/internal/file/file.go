package file

import (
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

var (
	// ErrNotFound: there is no such file, or none that the caller may know of.
	ErrNotFound = errors.New("no such file")
	// ErrNotYours: the caller may read the file, and that is all.
	ErrNotYours = errors.New("file belongs to somebody else")
	// ErrTooManyReaders: the access list is full.
	ErrTooManyReaders = errors.New("access list is full")
)

// MaxReaders is how many people an access list holds at most.
const MaxReaders = 100

// streamPrefix is in front of the file's id in the name of its stream.
const streamPrefix = "file-"

// Stream names the stream of a file.
func Stream(id string) string { return streamPrefix + id }

// File is the state of one file, folded from its stream.
type File struct {
	facts   Facts
	readers map[string]bool
	keyIDs  []string
	deleted bool
}

// Facts are what a file is.
type Facts struct {
	ID      string
	OwnerID string
	Name    string
	// ContentType is what it was declared as and checked against.
	ContentType string
	// Size in bytes.
	Size int64
	// Public: everyone may read it, signed in or not.
	Public bool
}

var _ eventstore.Aggregate = (*File)(nil)

// New is a file without events.
func New() *File { return &File{readers: map[string]bool{}} }

// Facts tells what the file is.
func (f *File) Facts() Facts { return f.facts }

// Readers are the people that the file is shared with by name, in order of their ids.
func (f *File) Readers() []string { return slices.Sorted(maps.Keys(f.readers)) }

// Exists tells whether there is a file: one that was uploaded and not deleted.
func (f *File) Exists() bool { return f.facts.ID != "" && !f.deleted }

// Ended tells whether the stream has ended: there is no file, and none will be.
func (f *File) Ended() bool { return f.deleted }

// OwnedBy tells whether the file is that person's.
func (f *File) OwnedBy(userID string) bool { return f.Exists() && f.facts.OwnerID == userID }

// ReadableBy tells whether that person may read the file; an empty id is somebody
// who is not signed in.
func (f *File) ReadableBy(userID string) bool {
	return f.Exists() && (f.facts.Public || f.facts.OwnerID == userID || f.readers[userID])
}

// Apply folds one event in.
func (f *File) Apply(event eventstore.Opened) {
	for _, id := range []string{event.KeyID, event.MetadataKeyID} {
		if id != "" && !slices.Contains(f.keyIDs, id) {
			f.keyIDs = append(f.keyIDs, id)
		}
	}
	switch e := event.Message.(type) {
	case *eventsv1.FileUploaded:
		f.facts = Facts{
			ID:          e.GetFileId(),
			OwnerID:     e.GetOwnerId(),
			Name:        e.GetName(),
			ContentType: e.GetContentType(),
			Size:        e.GetSize(),
			Public:      e.GetPublic(),
		}
		// The key goes after the file, so where it has gone there is none, whatever
		// an older copy of the log says.
		f.deleted = event.Erased
	case *eventsv1.FileShared:
		if e.GetUserId() == "" {
			f.facts.Public = true
		} else {
			f.readers[e.GetUserId()] = true
		}
	case *eventsv1.FileUnshared:
		if e.GetUserId() == "" {
			f.facts.Public = false
		} else {
			delete(f.readers, e.GetUserId())
		}
	case *eventsv1.FileDeleted:
		f.deleted = true
	}
}

// Upload opens the stream of a file whose object is in the storage.
func Upload(facts Facts) []proto.Message {
	return []proto.Message{&eventsv1.FileUploaded{
		FileId:      facts.ID,
		OwnerId:     facts.OwnerID,
		Name:        facts.Name,
		ContentType: facts.ContentType,
		Size:        facts.Size,
		Public:      facts.Public,
	}}
}

// Share lets one more person read the file, or everyone where with is empty. To
// share it with its owner, or with somebody once more, changes nothing. Errors:
// ErrNotFound, ErrTooManyReaders.
func (f *File) Share(by, with string) ([]proto.Message, error) {
	switch {
	case !f.OwnedBy(by):
		return nil, ErrNotFound
	case with == "" && f.facts.Public, with == f.facts.OwnerID, f.readers[with]:
		return nil, nil
	case with != "" && len(f.readers) >= MaxReaders:
		return nil, ErrTooManyReaders
	}
	return []proto.Message{&eventsv1.FileShared{FileId: f.facts.ID, UserId: with}}, nil
}

// Unshare takes that back. Where there is nothing to take back it changes
// nothing. Errors: ErrNotFound.
func (f *File) Unshare(by, with string) ([]proto.Message, error) {
	if !f.OwnedBy(by) {
		return nil, ErrNotFound
	}
	return f.Forget(with), nil
}

// Forget takes somebody off the access list, whoever asks.
func (f *File) Forget(reader string) []proto.Message {
	if !f.Exists() || reader == "" && !f.facts.Public || reader != "" && !f.readers[reader] {
		return nil
	}
	return []proto.Message{&eventsv1.FileUnshared{FileId: f.facts.ID, UserId: reader}}
}

// Delete deletes the file, for its owner or for somebody who may delete any.
// Errors: ErrNotFound, ErrNotYours for those who may read it.
func (f *File) Delete(by string, any bool) ([]proto.Message, error) {
	switch {
	case f.OwnedBy(by), any && f.Exists():
		return f.End(f.facts.ID, f.facts.OwnerID), nil
	case f.ReadableBy(by):
		return nil, ErrNotYours
	}
	return nil, ErrNotFound
}

// End ends the stream of a file whose owner is erased. It ends one without events
// too, so that an upload that is being completed at this moment comes to nothing.
func (f *File) End(id, ownerID string) []proto.Message {
	if f.deleted {
		return nil
	}
	return []proto.Message{&eventsv1.FileDeleted{FileId: id, OwnerId: ownerID, KeyIds: slices.Clone(f.keyIDs)}}
}
