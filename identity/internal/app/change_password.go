package app

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
)

var (
	// ErrWrongPassword: the present password is not the one given.
	ErrWrongPassword = errors.New("present password is wrong")
	// ErrPasswordUnchanged: the new password is the present one.
	ErrPasswordUnchanged = errors.New("new password is the present one")
)

// ChangePassword sets a new password for the person who calls.
type ChangePassword struct {
	UserID  string
	Present secret.String
	New     secret.String
	Request Request
}

// ChangePasswordHandler handles ChangePassword.
type ChangePasswordHandler struct {
	accounts  accounts
	passwords Passwords
	once      idempotency
}

// Handle sets the password and tells the position of its event. Errors:
// *InvalidFieldError, ErrUserNotFound, user.ErrInactive, ErrWrongPassword,
// ErrPasswordUnchanged, user.ErrPasswordChanged, eventstore.ErrCommandReused,
// *password.OverloadedError.
func (h *ChangePasswordHandler) Handle(ctx context.Context, c ChangePassword) (eventstore.Position, error) {
	if err := checkPassword("newPassword", c.New); err != nil {
		return eventstore.Position{}, fmt.Errorf("change password: %w", err)
	}
	// Looked up before the present password is checked: of a repeated command it
	// has changed since, by the command itself.
	command := h.once.command(user.Stream(c.UserID), "ChangePassword", c.Request.IdempotencyKey)
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) { return h.change(ctx, c, command) })
	if err == nil {
		err = samePassword(ctx, h.accounts, h.passwords, done, c.New)
	}
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("change password: %w", err)
	}
	return done.Position, nil
}

func (h *ChangePasswordHandler) change(ctx context.Context, c ChangePassword, command *eventstore.Command) (eventstore.Appended, error) {
	account, err := h.accounts.load(ctx, c.UserID)
	if err != nil {
		return eventstore.Appended{}, err
	}
	present := account.State.Password()
	right, err := h.passwords.Verify(ctx, present.Verifier, c.Present)
	if err != nil {
		return eventstore.Appended{}, err
	}
	if !right {
		return eventstore.Appended{}, ErrWrongPassword
	}
	if c.New.Equal(c.Present) {
		return eventstore.Appended{}, ErrPasswordUnchanged
	}
	verifier, err := h.passwords.Hash(ctx, c.New)
	if err != nil {
		return eventstore.Appended{}, err
	}
	return h.accounts.change(ctx, c.UserID, 0, c.Request.by(c.UserID, command), func(at loaded) ([]proto.Message, error) {
		return at.State.ChangePassword(present, verifier)
	})
}
