package app

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-id/muster/identity/internal/user"
)

// GetProfile asks for the profile of a person.
type GetProfile struct {
	UserID string
}

// Profile is a person's profile.
type Profile struct {
	user.Profile
	// RegisteredAt and UpdatedAt are when the account was opened and when it last changed.
	RegisteredAt, UpdatedAt time.Time
	// Version of the account's stream.
	Version int64
	// AvatarID names the person's picture; empty without one.
	AvatarID string
}

// profiles tells accounts: from their streams, and so never out of date, but
// for the picture, which a projection tells.
type profiles struct {
	accounts accounts
	avatars  Avatars
}

// at tells an account as it was at a version of its stream, or as it is where
// that is 0; none that was erased, also not as it was before. Errors: ErrUserNotFound.
func (p profiles) at(ctx context.Context, userID string, version int64) (Profile, error) {
	loaded, err := p.accounts.loadAt(ctx, userID, version)
	if err != nil {
		return Profile{}, err
	}
	avatar, err := p.avatars.AvatarOf(ctx, userID)
	if err != nil {
		return Profile{}, err
	}
	return Profile{
		Profile:      loaded.State.Profile(),
		RegisteredAt: loaded.FirstAt,
		UpdatedAt:    loaded.LastAt,
		Version:      loaded.Version,
		AvatarID:     avatar,
	}, nil
}

// GetProfileHandler handles GetProfile.
type GetProfileHandler struct {
	profiles profiles
}

// Handle reads the profile from the log itself, so it is never out of date. A
// person who was erased is not found, although the access token may still be
// good. Errors: ErrUserNotFound.
func (h *GetProfileHandler) Handle(ctx context.Context, g GetProfile) (Profile, error) {
	profile, err := h.profiles.at(ctx, g.UserID, 0)
	if err != nil {
		return Profile{}, fmt.Errorf("get profile: %w", err)
	}
	return profile, nil
}
