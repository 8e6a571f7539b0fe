// Package app is what credentials can do, one file each:
//
//	Login        login.go         check a password, open a session
//	Refresh      refresh.go       exchange a refresh token for a new pair
//	Logout       logout.go        end the session of a refresh token
//	EndSessions  end_sessions.go  end all sessions of a person
//	AwaitAccess  await_access.go  wait until the access projection has applied a position
//	SigningKeys  signing_keys.go  the public keys of access tokens
//
// and, beside the calls: Rehasher (rehash.go) makes outdated verifiers again
// after a sign-in, Sweeper (sweep.go) deletes sessions that are long over.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/signing"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
)

// Awaiter waits for the access projection; *projection.Projector is one.
type Awaiter interface {
	// Await returns once a position is applied, or after a bounded time with an error.
	Await(ctx context.Context, position eventstore.Position) error
}

// Config is what App works with.
type Config struct {
	// Store of accounts and sessions.
	Store *store.Store
	// Passwords is the process's hashing pool.
	Passwords *password.Pool
	// Access is the projection that Login and AwaitAccess wait for.
	Access Awaiter
	// Keys sign access tokens.
	Keys *signing.Ring
	// RefreshTokens writes and reads refresh tokens.
	RefreshTokens session.Tokens
	// Lifetime of sessions.
	Lifetime session.Lifetime
	// Rehasher takes outdated verifiers.
	Rehasher *Rehasher
	// Logger gets what an operator has to know.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// App is what credentials can do. It is safe for concurrent use.
type App struct{ config Config }

// New makes an App.
func New(config Config) *App { return &App{config} }

// Tokens is a pair of tokens.
type Tokens struct {
	// Access token and its end.
	Access          secret.String
	AccessExpiresAt time.Time
	// Refresh token and the session's end unless refreshed; empty while the
	// password has to be changed first.
	Refresh          secret.String
	RefreshExpiresAt time.Time
}

// accessToken makes the access token of an account's session.
func (a *App) accessToken(account access.Account, sessionID uuid.UUID) (Tokens, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Tokens{}, fmt.Errorf("make a token id: %w", err)
	}
	signed, expiresAt, err := a.config.Keys.Sign(token.Claims{
		Subject:               account.UserID.String(),
		SessionID:             sessionID.String(),
		ID:                    id.String(),
		AccessVersion:         account.AccessVersion,
		Roles:                 account.Roles,
		PasswordChangePending: account.MustChange,
	})
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: signed, AccessExpiresAt: expiresAt}, nil
}

// now is in the database's precision, so that what is read back is what was written.
func (a *App) now() time.Time { return a.config.Now().UTC().Truncate(time.Microsecond) }
