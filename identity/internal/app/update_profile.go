package app

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/loginname"
)

// UpdateProfile changes the names of the person who calls, given as typed.
type UpdateProfile struct {
	UserID string
	// FirstName and LastName stay as they are when nil.
	FirstName, LastName *string
	Request             Request
}

// Updated is an account after a change.
type Updated struct {
	Profile Profile
	// Position of the change, or of the account where there was nothing to change.
	Position eventstore.Position
}

// UpdateProfileHandler handles UpdateProfile.
type UpdateProfileHandler struct {
	accounts accounts
	profiles profiles
	once     idempotency
}

// Handle changes the names. Errors: *InvalidFieldError, ErrUserNotFound,
// user.ErrInactive, eventstore.ErrWrongVersion, eventstore.ErrCommandReused.
func (h *UpdateProfileHandler) Handle(ctx context.Context, u UpdateProfile) (Updated, error) {
	updated, err := h.handle(ctx, u)
	if err != nil {
		return Updated{}, fmt.Errorf("update profile: %w", err)
	}
	return updated, nil
}

func (h *UpdateProfileHandler) handle(ctx context.Context, u UpdateProfile) (Updated, error) {
	firstName, err := optional("firstName", u.FirstName)
	if err != nil {
		return Updated{}, err
	}
	lastName, err := optional("lastName", u.LastName)
	if err != nil {
		return Updated{}, err
	}
	stream := user.Stream(u.UserID)
	command := h.once.command(stream, "UpdateProfile", u.Request.IdempotencyKey, fingerprint(firstName), fingerprint(lastName))
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) {
		return h.accounts.change(ctx, u.UserID, 0, u.Request.by(u.UserID, command), func(at loaded) ([]proto.Message, error) {
			return at.State.UpdateProfile(firstName, lastName)
		})
	})
	if err != nil {
		return Updated{}, err
	}
	// Read at the position, so that a repeated command gets the first one's answer.
	profile, err := h.profiles.at(ctx, u.UserID, done.Position.Version)
	if err != nil {
		return Updated{}, err
	}
	return Updated{Profile: profile, Position: done.Position}, nil
}

func optional(field string, typed *string) (*string, error) {
	if typed == nil {
		return nil, nil //nolint:nilnil // absent stays absent
	}
	name, err := canonical(field, *typed, loginname.PersonName)
	return &name, err
}

// fingerprint tells an absent name from an empty one.
func fingerprint(name *string) string {
	if name == nil {
		return "absent"
	}
	return "given " + *name
}
