package app

import (
	"context"
	"fmt"

	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/platform/secret"
)

// Logout ends the session of a refresh token.
type Logout struct {
	// Token is any of the session's, also a replaced one.
	Token secret.String
}

// Logout succeeds for a session that has ended before. Error: session.ErrInvalid.
func (a *App) Logout(ctx context.Context, cmd Logout) error {
	id, _, err := a.config.RefreshTokens.Read(cmd.Token)
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	if _, err := a.config.Store.RevokeSession(ctx, id, session.ByLogout, a.now()); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return nil
}
