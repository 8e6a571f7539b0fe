package app

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/avatar"
)

// RemoveAvatar removes the caller's avatar.
type RemoveAvatar struct {
	UserID  string
	Request Request
}

// RemoveAvatarHandler handles RemoveAvatar.
type RemoveAvatarHandler struct {
	avatars *eventstore.Repository[*avatar.Avatar]
	files   Awaiter
}

// Handle removes the avatar and tells the position of the event; removed is false
// where there was none. Errors: eventstore.ErrWrongVersion.
func (h *RemoveAvatarHandler) Handle(ctx context.Context, r RemoveAvatar) (at eventstore.Position, removed bool, err error) {
	if at, removed, err = h.handle(ctx, r); err != nil {
		return eventstore.Position{}, false, fmt.Errorf("remove avatar: %w", err)
	}
	return at, removed, nil
}

func (h *RemoveAvatarHandler) handle(ctx context.Context, r RemoveAvatar) (eventstore.Position, bool, error) {
	owner, err := identifier(r.UserID)
	if err != nil {
		return eventstore.Position{}, false, err
	}
	stream := avatar.Stream(owner.String())
	loaded, err := load(ctx, h.avatars, stream)
	if err != nil {
		return eventstore.Position{}, false, err
	}
	of := r.Request.by(owner.String())
	of.ActorKey = loaded.State.OriginKey()
	at, removed, err := change(ctx, h.avatars, stream, of, func(a *avatar.Avatar) ([]proto.Message, error) {
		return a.Remove(owner.String()), nil
	})
	if err != nil || !removed {
		return eventstore.Position{}, false, err
	}
	shown(ctx, h.files, at)
	return at, true, nil
}
