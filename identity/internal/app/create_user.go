package app

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
)

// CreateUser opens an account for somebody else. Names are as typed.
type CreateUser struct {
	Username  string
	Email     string
	Password  secret.String
	FirstName string
	LastName  string
	Roles     []string
	// KeepPassword lets the person keep the password; else it has to be changed first.
	KeepPassword bool
	// By is the id of the administrator's account.
	By      string
	Request Request
}

// Created is the new account.
type Created struct {
	Profile Profile
	// Position of the account's last event.
	Position eventstore.Position
}

// CreateUserHandler handles CreateUser.
type CreateUserHandler struct {
	accounts  accounts
	profiles  profiles
	passwords Passwords
	once      idempotency
}

// Handle opens the account. Errors: *InvalidFieldError, ErrUsernameTaken (also
// where both names are taken), ErrEmailTaken, ErrCallerGone, ErrCallerDemoted,
// user.ErrInactive of the caller, eventstore.ErrCommandReused,
// *password.OverloadedError.
func (h *CreateUserHandler) Handle(ctx context.Context, c CreateUser) (Created, error) {
	created, err := h.handle(ctx, c)
	if err != nil {
		return Created{}, fmt.Errorf("create user: %w", err)
	}
	return created, nil
}

func (h *CreateUserHandler) handle(ctx context.Context, c CreateUser) (Created, error) {
	account, err := newAccount(Register{Username: c.Username, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, Password: c.Password})
	if err != nil {
		return Created{}, err
	}
	if account.Roles, err = knownRoles(c.Roles); err != nil {
		return Created{}, err
	}
	account.MustChange = !c.KeepPassword
	fields := append([]string{account.Username, account.Email, account.FirstName, account.LastName, strconv.FormatBool(c.KeepPassword)}, account.Roles...)
	command := h.once.command(user.Stream(c.By), "CreateUser", c.Request.IdempotencyKey, fields...)
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) {
		needs := []string{writeUsers}
		if len(account.Roles) > 0 {
			needs = append(needs, writeRoles)
		}
		of, err := h.accounts.administration(ctx, c.By, c.Request, command, needs...)
		if err != nil {
			return eventstore.Appended{}, err
		}
		id, err := h.accounts.newID()
		if err != nil {
			return eventstore.Appended{}, fmt.Errorf("make an account id: %w", err)
		}
		account.ID = id.String()
		if err := h.accounts.free(ctx, h.accounts.opening(account).Reserve); err != nil {
			return eventstore.Appended{}, err
		}
		if account.Verifier, err = h.passwords.Hash(ctx, c.Password); err != nil {
			return eventstore.Appended{}, err
		}
		return h.accounts.open(ctx, account, of)
	})
	if err != nil {
		return Created{}, err
	}
	if err := samePassword(ctx, h.accounts, h.passwords, done, c.Password); err != nil {
		return Created{}, err
	}
	profile, err := h.profiles.at(ctx, accountOf(done.Position), done.Position.Version)
	if err != nil {
		return Created{}, err
	}
	return Created{Profile: profile, Position: done.Position}, nil
}
