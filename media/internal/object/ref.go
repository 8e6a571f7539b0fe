package object

import "github.com/google/uuid"

// Kind is what an object is of.
type Kind string

// The kinds.
const (
	// Upload: what somebody posts, not verified yet.
	Upload Kind = "upload"
	// File: the content of a file.
	File Kind = "file"
	// Avatar: a picture of a person.
	Avatar Kind = "avatar"
)

// Ref names an object.
type Ref struct {
	Kind Kind
	// Owner is whose it is, ID its own id: that of the file, the upload or the picture.
	Owner, ID uuid.UUID
}

// Key is the object's name in the bucket.
func (r Ref) Key() string { return string(r.Kind) + "s/" + r.Owner.String() + "/" + r.ID.String() }
