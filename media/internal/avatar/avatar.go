package avatar

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// ErrOwnerErased: the person is gone.
var ErrOwnerErased = errors.New("person was erased")

// streamPrefix is in front of the person's id in the name of the stream.
const streamPrefix = "avatar-"

// Stream names the stream of a person's avatar.
func Stream(userID string) string { return streamPrefix + userID }

// Avatar is the state of a person's picture, folded from its stream.
type Avatar struct {
	current string
	keyIDs  []string
	erased  bool
}

var _ eventstore.Aggregate = (*Avatar)(nil)

// New is an avatar without events.
func New() *Avatar { return &Avatar{} }

// Current names the present picture; empty for none.
func (a *Avatar) Current() string { return a.current }

// OwnerErased tells whether the person is gone.
func (a *Avatar) OwnerErased() bool { return a.erased }

// OriginKey is the key that the stream's origins are sealed under; empty before
// the first.
func (a *Avatar) OriginKey() string {
	if len(a.keyIDs) == 0 {
		return ""
	}
	return a.keyIDs[0]
}

// Apply folds one event in.
func (a *Avatar) Apply(event eventstore.Opened) {
	// Nothing of a picture's events is sealed but where they came from.
	if id := event.MetadataKeyID; id != "" && !slices.Contains(a.keyIDs, id) {
		a.keyIDs = append(a.keyIDs, id)
	}
	switch e := event.Message.(type) {
	case *eventsv1.AvatarSet:
		a.current = e.GetAvatarId()
	case *eventsv1.AvatarRemoved:
		a.current = ""
	case *eventsv1.OwnerErased:
		a.erased = true
	}
}

// Picture is one that lies in the storage.
type Picture struct {
	ID string
	// Size in bytes.
	Size int64
}

// Set makes a picture the person's avatar. Errors: ErrOwnerErased.
func (a *Avatar) Set(userID string, picture Picture) ([]proto.Message, error) {
	if a.erased {
		return nil, ErrOwnerErased
	}
	return []proto.Message{&eventsv1.AvatarSet{UserId: userID, AvatarId: picture.ID, Size: picture.Size}}, nil
}

// Remove removes the avatar; without one it changes nothing.
func (a *Avatar) Remove(userID string) []proto.Message {
	if a.current == "" {
		return nil
	}
	return []proto.Message{&eventsv1.AvatarRemoved{UserId: userID, AvatarId: a.current}}
}

// EndOf ends the stream of a person who is erased, also one without events.
func (a *Avatar) EndOf(userID string) []proto.Message {
	if a.erased {
		return nil
	}
	return append(a.Remove(userID), &eventsv1.OwnerErased{UserId: userID, KeyIds: slices.Clone(a.keyIDs)})
}
