package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
	"github.com/muster-id/muster/media/internal/object"
)

// avatarType is what avatars are stored as.
const avatarType = "image/jpeg"

// SetAvatar makes the caller's avatar of a picture.
type SetAvatar struct {
	UserID string
	// Picture as it is in its file: JPEG, PNG, GIF or WebP.
	Picture []byte
	Request Request
}

// AvatarSet is what became of it.
type AvatarSet struct {
	// AvatarID names the picture.
	AvatarID string
	// Position of the event.
	Position eventstore.Position
}

// SetAvatarHandler handles SetAvatar.
type SetAvatarHandler struct {
	avatars  *eventstore.Repository[*avatar.Avatar]
	rows     Rows
	objects  Objects
	pictures Pictures
	files    Awaiter
	newID    func() (uuid.UUID, error)
}

// Handle sets the avatar. The former one is doomed by the projection that follows
// the log. Errors: picture.ErrNotAPicture, picture.ErrTooLarge,
// *picture.OverloadedError, object.ErrUnavailable, ErrNotFound for a person who
// was erased, eventstore.ErrWrongVersion.
func (h *SetAvatarHandler) Handle(ctx context.Context, s SetAvatar) (AvatarSet, error) {
	set, err := h.handle(ctx, s)
	if errors.Is(err, avatar.ErrOwnerErased) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return AvatarSet{}, fmt.Errorf("set avatar: %w", err)
	}
	return set, nil
}

func (h *SetAvatarHandler) handle(ctx context.Context, s SetAvatar) (AvatarSet, error) {
	owner, err := identifier(s.UserID)
	if err != nil {
		return AvatarSet{}, err
	}
	made, err := h.pictures.Avatar(ctx, s.Picture)
	if err != nil {
		return AvatarSet{}, err
	}
	id, err := h.newID()
	if err != nil {
		return AvatarSet{}, fmt.Errorf("make a picture's id: %w", err)
	}
	ref := object.Ref{Kind: object.Avatar, Owner: owner, ID: id}
	if err := h.rows.BeginObject(ctx, ref); err != nil {
		return AvatarSet{}, err
	}
	if err := h.objects.Put(ctx, ref, made.JPEG, avatarType); err != nil {
		return AvatarSet{}, err
	}
	of, err := h.context(ctx, owner.String(), s.Request)
	if err != nil {
		return AvatarSet{}, err
	}
	picture := avatar.Picture{ID: id.String(), Size: int64(len(made.JPEG))}
	at, _, err := change(ctx, h.avatars, avatar.Stream(owner.String()), of, func(a *avatar.Avatar) ([]proto.Message, error) {
		return a.Set(owner.String(), picture)
	})
	if err != nil {
		return AvatarSet{}, err
	}
	shown(ctx, h.files, at)
	return AvatarSet{AvatarID: id.String(), Position: at}, nil
}

// context seals the origins of one person's pictures under one key.
func (h *SetAvatarHandler) context(ctx context.Context, userID string, request Request) (eventstore.Context, error) {
	of := request.by(userID)
	loaded, err := load(ctx, h.avatars, avatar.Stream(userID))
	if err != nil {
		return of, err
	}
	of.ActorKey = loaded.State.OriginKey()
	return of, nil
}
