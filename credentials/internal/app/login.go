package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/loginname"
	"github.com/muster-id/muster/platform/secret"
)

// Why a login is refused. Match with errors.Is; a *password.OverloadedError and
// the errors of AwaitAccess are possible too.
var (
	// ErrWrongCredentials means that the login name or the password is wrong.
	ErrWrongCredentials = errors.New("login name or password is wrong")
	// ErrAccountInactive means that the password is right, but the account is deactivated.
	ErrAccountInactive = errors.New("account is deactivated")
	// ErrIncomplete means that accounts are being made from the log, after their
	// database was lost, and not all of it is applied. It will be.
	ErrIncomplete = errors.New("accounts are not complete yet")
)

// Login signs in.
type Login struct {
	// Name is a username or an email address, as typed.
	Name string
	// Password as typed.
	Password secret.String
	// After is a position that has to be applied first; nil for no wait.
	After *eventstore.Position
}

// LoggedIn is a login that succeeded.
type LoggedIn struct {
	// UserID of the account.
	UserID uuid.UUID
	// Tokens of the new session.
	Tokens Tokens
	// PasswordChangeRequired: there is no session and no refresh token, and the
	// access token is good for changing the password alone.
	PasswordChangeRequired bool
}

// Login checks a password and opens a session. Whether the name is unknown, or
// can be nobody's, or the password is wrong: each costs one hash of the same
// work and is answered alike. That an account is deactivated is told only to
// who knows its password.
//
// Where the costs of a hash were changed, an account keeps its former ones until
// its person signs in. So long a wrong password costs a hash of each: never less
// than an unknown name, but more, and who measures it learns that the account
// exists and has been away since.
func (a *App) Login(ctx context.Context, cmd Login) (LoggedIn, error) {
	if cmd.After != nil {
		if err := a.AwaitAccess(ctx, *cmd.After); err != nil {
			return LoggedIn{}, fmt.Errorf("login: %w", err)
		}
	}
	account, err := a.authenticate(ctx, cmd)
	if err != nil {
		return LoggedIn{}, fmt.Errorf("login: %w", err)
	}
	if !account.Active {
		return LoggedIn{}, fmt.Errorf("login: %w", ErrAccountInactive)
	}
	loggedIn, err := a.open(ctx, account)
	if err != nil {
		return LoggedIn{}, fmt.Errorf("login: %w", err)
	}
	if a.config.Passwords.Outdated(account.Verifier) {
		a.config.Rehasher.offer(account, cmd.Password)
	}
	return loggedIn, nil
}

// authenticate finds the account whose name and password these are.
func (a *App) authenticate(ctx context.Context, cmd Login) (access.Account, error) {
	account, err := a.find(ctx, cmd.Name)
	if errors.Is(err, store.ErrIncomplete) {
		// Nobody is told that they are wrong, nor let in with a password, a role or
		// an account that was taken from them since.
		return access.Account{}, ErrIncomplete
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && account.Verifier.Empty() {
		if err := a.config.Passwords.VerifyUnknown(ctx, cmd.Password); err != nil {
			return access.Account{}, err
		}
		return access.Account{}, ErrWrongCredentials
	}
	if err != nil {
		return access.Account{}, err
	}
	right, err := a.config.Passwords.Verify(ctx, account.Verifier, cmd.Password)
	if err != nil {
		return access.Account{}, err
	}
	if !right {
		return access.Account{}, ErrWrongCredentials
	}
	return account, nil
}

func (a *App) find(ctx context.Context, name string) (access.Account, error) {
	kind, canonical, ok := loginname.Parse(name)
	switch {
	case !ok:
		return access.Account{}, store.ErrNotFound
	case kind == loginname.KindEmail:
		return a.config.Store.AccountByEmail(ctx, canonical)
	default:
		return a.config.Store.AccountByUsername(ctx, canonical)
	}
}

func (a *App) open(ctx context.Context, account access.Account) (LoggedIn, error) {
	// Pending a password change the session exists in the access token only.
	sessionID, err := uuid.NewV7()
	if err != nil {
		return LoggedIn{}, fmt.Errorf("make a session id: %w", err)
	}
	tokens, err := a.accessToken(account, sessionID)
	if err != nil {
		return LoggedIn{}, err
	}
	if !account.MustChange {
		opened := session.Open(sessionID, account.UserID, accessOf(account), a.now(), a.config.Lifetime)
		err := a.config.Store.OpenSession(ctx, opened)
		if errors.Is(err, store.ErrNotFound) {
			return LoggedIn{}, ErrWrongCredentials // as from now on
		}
		if errors.Is(err, store.ErrIncomplete) {
			return LoggedIn{}, ErrIncomplete
		}
		if err != nil {
			return LoggedIn{}, err
		}
		tokens.Refresh, tokens.RefreshExpiresAt = a.config.RefreshTokens.Write(opened.ID, opened.Counter), opened.ExpiresAt
	}
	return LoggedIn{UserID: account.UserID, Tokens: tokens, PasswordChangeRequired: account.MustChange}, nil
}
