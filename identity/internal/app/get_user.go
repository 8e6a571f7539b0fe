package app

import (
	"context"
	"fmt"
)

// GetUser asks for anybody's account.
type GetUser struct {
	UserID string
}

// GetUserHandler handles GetUser.
type GetUserHandler struct {
	profiles profiles
}

// Handle reads the account from the log itself, so it is never out of date, and
// its version is the one to expect in a change. Errors: ErrUserNotFound.
func (h *GetUserHandler) Handle(ctx context.Context, g GetUser) (Profile, error) {
	profile, err := h.profiles.at(ctx, g.UserID, 0)
	if err != nil {
		return Profile{}, fmt.Errorf("get user: %w", err)
	}
	return profile, nil
}
