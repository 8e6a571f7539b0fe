package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/platform/secret"
)

// refreshAttempts bounds how often a session is read again after somebody else
// was faster. Whoever lost once finds its token to be the parent, and does not
// write again.
const refreshAttempts = 5

// ErrContended means that others were faster each time.
var ErrContended = errors.New("session is refreshed by too many at once")

// Refresh exchanges a refresh token.
type Refresh struct {
	// Token as it was given out.
	Token secret.String
}

// Refresh answers with a new pair, or, where the token was exchanged a moment
// ago, with the same refresh token again; the rules are in package session.
// Errors: session.ErrInvalid, ErrRevoked, ErrExpired and ErrReused,
// ErrAccountInactive, ErrContended, ErrIncomplete.
func (a *App) Refresh(ctx context.Context, cmd Refresh) (Tokens, error) {
	tokens, err := a.refresh(ctx, cmd)
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh: %w", err)
	}
	return tokens, nil
}

func (a *App) refresh(ctx context.Context, cmd Refresh) (Tokens, error) {
	id, number, err := a.config.RefreshTokens.Read(cmd.Token)
	if err != nil {
		return Tokens{}, err
	}
	for range refreshAttempts {
		held, account, err := a.config.Store.Session(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			// The token is genuine, so there was a session.
			return Tokens{}, session.ErrRevoked
		}
		if errors.Is(err, store.ErrIncomplete) {
			return Tokens{}, ErrIncomplete
		}
		if err != nil {
			return Tokens{}, err
		}
		next, child, err := held.Refresh(number, accessOf(account), a.now(), a.config.Lifetime)
		if errors.Is(err, session.ErrReused) {
			return Tokens{}, a.reused(ctx, held)
		}
		if err != nil {
			return Tokens{}, err
		}
		if !account.Active {
			return Tokens{}, ErrAccountInactive
		}
		if next.Counter != held.Counter {
			advanced, err := a.config.Store.AdvanceSession(ctx, held.Counter, next)
			if err != nil {
				return Tokens{}, err
			}
			if !advanced {
				continue
			}
		}
		return a.pair(account, next, child)
	}
	return Tokens{}, ErrContended
}

// accessOf is what of an account rules over its sessions.
func accessOf(account access.Account) session.Access {
	return session.Access{PasswordVersion: account.PasswordVersion, SessionsFrom: account.SessionsFrom, Version: account.AccessVersion}
}

func (a *App) pair(account access.Account, of session.Session, number int64) (Tokens, error) {
	tokens, err := a.accessToken(account, of.ID)
	if err != nil {
		return Tokens{}, err
	}
	tokens.Refresh, tokens.RefreshExpiresAt = a.config.RefreshTokens.Write(of.ID, number), of.ExpiresAt
	return tokens, nil
}

// reused ends a session of whose tokens there are two holders. Which of them is
// the thief cannot be known, so both have to sign in.
func (a *App) reused(ctx context.Context, held session.Session) error {
	// Also for a caller who does not wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	revoked, err := a.config.Store.RevokeSession(ctx, held.ID, session.ByReuse, a.now())
	if err != nil {
		return err
	}
	if revoked {
		a.config.Logger.WarnContext(ctx, "a replaced refresh token was used, its session is revoked: one of its two holders is a thief",
			slog.String("session_id", held.ID.String()), slog.String("user_id", held.UserID.String()))
	}
	return session.ErrReused
}
