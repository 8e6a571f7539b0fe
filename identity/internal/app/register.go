package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/loginname"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

// Register opens an account. Names are as typed.
type Register struct {
	Username  string
	Email     string
	Password  secret.String
	FirstName string
	LastName  string
	Request   Request
}

// Registered is the new account.
type Registered struct {
	UserID string
	// Position of the account's last event.
	Position eventstore.Position
}

// RegisterHandler handles Register.
type RegisterHandler struct {
	accounts  accounts
	passwords Passwords
	once      idempotency
}

// Handle opens the account. Errors: *InvalidFieldError, ErrUsernameTaken (also
// where both names are taken), ErrEmailTaken, eventstore.ErrCommandReused,
// *password.OverloadedError.
func (h *RegisterHandler) Handle(ctx context.Context, r Register) (Registered, error) {
	registered, err := h.handle(ctx, r)
	if err != nil {
		return Registered{}, fmt.Errorf("register: %w", err)
	}
	return registered, nil
}

func (h *RegisterHandler) handle(ctx context.Context, r Register) (Registered, error) {
	account, err := newAccount(r)
	if err != nil {
		return Registered{}, err
	}
	command := h.once.command(anonymous, "Register", r.Request.IdempotencyKey, account.Username, account.Email, account.FirstName, account.LastName)
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) {
		id, err := h.accounts.newID()
		if err != nil {
			return eventstore.Appended{}, fmt.Errorf("make an account id: %w", err)
		}
		account.ID = id.String()
		if err := h.accounts.free(ctx, h.accounts.opening(account).Reserve); err != nil {
			return eventstore.Appended{}, err
		}
		if account.Verifier, err = h.passwords.Hash(ctx, r.Password); err != nil {
			return eventstore.Appended{}, err
		}
		return h.accounts.open(ctx, account, r.Request.by(account.ID, command))
	})
	if err != nil {
		return Registered{}, err
	}
	if err := samePassword(ctx, h.accounts, h.passwords, done, r.Password); err != nil {
		return Registered{}, err
	}
	return Registered{UserID: accountOf(done.Position), Position: done.Position}, nil
}

// newAccount brings the names into their canonical form.
func newAccount(r Register) (user.Registration, error) {
	var (
		account user.Registration
		err     error
	)
	if account.Username, err = canonical("username", r.Username, loginname.Username); err != nil {
		return account, err
	}
	if account.Email, err = canonical("email", r.Email, loginname.Email); err != nil {
		return account, err
	}
	if account.FirstName, err = canonical("firstName", r.FirstName, loginname.PersonName); err != nil {
		return account, err
	}
	if account.LastName, err = canonical("lastName", r.LastName, loginname.PersonName); err != nil {
		return account, err
	}
	return account, checkPassword("password", r.Password)
}

// checkPassword refuses a new password of the wrong length.
func checkPassword(field string, chosen secret.String) error {
	err := password.Check(chosen)
	switch {
	case errors.Is(err, password.ErrTooShort):
		return &InvalidFieldError{Field: field, Problem: fmt.Sprintf("A password has at least %d characters", password.MinLength)}
	case errors.Is(err, password.ErrTooLong):
		return &InvalidFieldError{Field: field, Problem: fmt.Sprintf("A password has at most %d characters", password.MaxLength)}
	}
	return err
}
