// Package app is what media can do: each command and each query is a file.
//
//	command ─▶ row of the object ─▶ object ─▶ aggregate decides ─▶ append ─▶ rows of lists
//
// The row comes before the object and the object before the event, so that
// whatever is interrupted is swept, and what the log tells of is there
// (docs/adr/0013).
package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/platform/secret"
)

// LogName is the name of media's event log.
const LogName = "media"

// App lists everything that media can do.
type App struct {
	Commands Commands
	Queries  Queries
	// Erasure ends what a person has who is erased.
	Erasure *Erasure
	// Keeper tells what the log keeps.
	Keeper *Keeper
}

// Commands change something.
type Commands struct {
	// SetAvatar makes a person's avatar of a picture.
	SetAvatar *SetAvatarHandler
	// RemoveAvatar removes it.
	RemoveAvatar *RemoveAvatarHandler
	// CreateUpload begins the upload of a file.
	CreateUpload *CreateUploadHandler
	// CompleteUpload makes a file of what was uploaded.
	CompleteUpload *CompleteUploadHandler
	// ShareFile lets one more person, or everyone, read a file.
	ShareFile *ShareFileHandler
	// UnshareFile takes that back.
	UnshareFile *UnshareFileHandler
	// DeleteFile deletes a file.
	DeleteFile *DeleteFileHandler
}

// Queries change nothing.
type Queries struct {
	// GetAvatar gives a picture.
	GetAvatar *GetAvatarHandler
	// GetFile tells of a file.
	GetFile *GetFileHandler
	// GetFileURL gives an address from which a file can be read.
	GetFileURL *GetFileURLHandler
	// ListFiles tells a page of files.
	ListFiles *ListFilesHandler
}

// Objects are the storage. All but the signatures may answer object.ErrUnavailable.
type Objects interface {
	// Ping tells whether the storage answers.
	Ping(ctx context.Context) error
	Put(ctx context.Context, ref object.Ref, content []byte, contentType string) error
	// Get reads an object of at most limit bytes. Errors: object.ErrNotFound.
	Get(ctx context.Context, ref object.Ref, limit int64) ([]byte, error)
	// Stat tells of an object. Errors: object.ErrNotFound.
	Stat(ctx context.Context, ref object.Ref) (object.Info, error)
	// Head reads the beginning of the content that etag names. Errors:
	// object.ErrNotFound, object.ErrChanged.
	Head(ctx context.Context, ref object.Ref, etag string, limit int64) ([]byte, error)
	// Copy copies the content that etag names. Errors: as Head.
	Copy(ctx context.Context, from object.Ref, etag string, to object.Ref) error
	PresignGet(ctx context.Context, ref object.Ref, disposition, contentType string, lifetime time.Duration) (secret.String, error)
	PresignPost(ctx context.Context, ref object.Ref, contentType string, size int64, expiresAt time.Time) (object.Form, error)
}

// Rows are what is kept beside the log.
type Rows interface {
	// BeginObject puts an object on record before it is put. Errors: store.ErrDoomed.
	BeginObject(ctx context.Context, ref object.Ref) error
	// BeginUpload puts an upload on record before its form is given out.
	BeginUpload(ctx context.Context, u store.Upload) error
	// Upload tells what was declared. Errors: store.ErrNotFound.
	Upload(ctx context.Context, id uuid.UUID) (store.Upload, error)
	// RefuseUpload ends an upload.
	RefuseUpload(ctx context.Context, id uuid.UUID) error
	// Avatar names the object of a picture. Errors: store.ErrNotFound.
	Avatar(ctx context.Context, id uuid.UUID) (object.Ref, error)
	OwnFiles(ctx context.Context, person uuid.UUID, after *store.Place, limit int) ([]store.File, error)
	SharedFiles(ctx context.Context, person uuid.UUID, after *store.Place, limit int) ([]store.File, error)
}

// Pictures makes avatars of pictures; picture.Pool is one.
type Pictures interface {
	// Avatar errors: picture.ErrNotAPicture, picture.ErrTooLarge, *picture.OverloadedError.
	Avatar(ctx context.Context, raw []byte) (picture.Avatar, error)
}

// Accounts tells who has, or had, an account.
type Accounts interface {
	// Opened tells whether an account of this id was ever opened. Errors: those of
	// the way to identity.
	Opened(ctx context.Context, userID string) (bool, error)
}

// Awaiter tells when the rows of lists hold a position, two seconds at most.
type Awaiter interface {
	Await(ctx context.Context, position eventstore.Position) error
}

// Config is what the commands work with.
type Config struct {
	Log      eventstore.Store
	Codec    eventstore.Codec
	Rows     Rows
	Objects  Objects
	Pictures Pictures
	Files    Awaiter
	Accounts Accounts
	Now      func() time.Time
	// NewID makes UUIDv7 ids, of files, pictures and events.
	NewID func() (uuid.UUID, error)
	// MaxFileBytes is the largest file that is taken.
	MaxFileBytes int64
	// URLLifetime is how long an address is good, UploadLifetime how long a form is.
	URLLifetime, UploadLifetime time.Duration
}

// New puts the commands and queries together.
func New(config Config) App {
	files := &eventstore.Repository[*file.File]{
		Log: LogName, Store: config.Log, Codec: config.Codec, New: file.New, Now: config.Now, NewID: config.NewID,
	}
	avatars := &eventstore.Repository[*avatar.Avatar]{
		Log: LogName, Store: config.Log, Codec: config.Codec, New: avatar.New, Now: config.Now, NewID: config.NewID,
	}
	people := people{avatars: avatars}
	reading := reading{files: files}
	changing := changing{files: files, rows: config.Files}
	return App{
		Commands: Commands{
			SetAvatar: &SetAvatarHandler{
				avatars: avatars, rows: config.Rows, objects: config.Objects, pictures: config.Pictures, files: config.Files, newID: config.NewID,
			},
			RemoveAvatar: &RemoveAvatarHandler{avatars: avatars, files: config.Files},
			CreateUpload: &CreateUploadHandler{
				people: people, rows: config.Rows, objects: config.Objects, now: config.Now, newID: config.NewID,
				maxBytes: config.MaxFileBytes, lifetime: config.UploadLifetime,
			},
			CompleteUpload: &CompleteUploadHandler{
				people: people, reading: reading, files: files, rows: config.Rows, objects: config.Objects, lists: config.Files, now: config.Now,
			},
			ShareFile:   &ShareFileHandler{accounts: config.Accounts, people: people, changing: changing},
			UnshareFile: &UnshareFileHandler{changing: changing},
			DeleteFile:  &DeleteFileHandler{changing: changing},
		},
		Queries: Queries{
			GetAvatar:  &GetAvatarHandler{rows: config.Rows, objects: config.Objects},
			GetFile:    &GetFileHandler{reading: reading},
			GetFileURL: &GetFileURLHandler{reading: reading, objects: config.Objects, now: config.Now, lifetime: config.URLLifetime},
			ListFiles:  &ListFilesHandler{rows: config.Rows},
		},
		Erasure: &Erasure{avatars: avatars, files: files},
		Keeper:  &Keeper{log: config.Log, avatars: avatars},
	}
}
