package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-id/muster/eventstore"
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
}

// GetProfileHandler handles GetProfile.
type GetProfileHandler struct {
	users *eventstore.Repository[*user.User]
}

// Handle reads the profile from the log itself, so it is never out of date.
// Errors: ErrUserNotFound.
func (h *GetProfileHandler) Handle(ctx context.Context, g GetProfile) (Profile, error) {
	loaded, err := h.users.Load(ctx, user.Stream(g.UserID), 0)
	if err != nil {
		return Profile{}, fmt.Errorf("get profile: %w", notFound(err))
	}
	return profileOf(loaded), nil
}

func profileOf(loaded eventstore.Loaded[*user.User]) Profile {
	return Profile{Profile: loaded.State.Profile(), RegisteredAt: loaded.FirstAt, UpdatedAt: loaded.LastAt}
}

// notFound says in the words of this package that a stream is not there.
func notFound(err error) error {
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", ErrUserNotFound, err)
	}
	return err
}
