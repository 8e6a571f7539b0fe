package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
)

// maxAvatar bounds an avatar in bytes: 256 × 256 pixels of JPEG have far fewer.
const maxAvatar = 1 << 20

// GetAvatar asks for a picture, which whoever knows its id may see.
type GetAvatar struct {
	AvatarID string
}

// GetAvatarHandler handles GetAvatar.
type GetAvatarHandler struct {
	rows    Rows
	objects Objects
}

// Handle gives the picture, a JPEG. Errors: ErrNotFound, object.ErrUnavailable.
func (h *GetAvatarHandler) Handle(ctx context.Context, g GetAvatar) ([]byte, error) {
	content, err := h.handle(ctx, g)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, object.ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("get avatar: %w", err)
	}
	return content, nil
}

func (h *GetAvatarHandler) handle(ctx context.Context, g GetAvatar) ([]byte, error) {
	id, err := identifier(g.AvatarID)
	if err != nil {
		return nil, err
	}
	ref, err := h.rows.Avatar(ctx, id)
	if err != nil {
		return nil, err
	}
	return h.objects.Get(ctx, ref, maxAvatar)
}
