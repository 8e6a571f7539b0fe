package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/session"
)

// EndSessions ends all sessions of a person.
type EndSessions struct {
	// UserID is whose.
	UserID uuid.UUID
}

// EndSessions tells how many were alive.
func (a *App) EndSessions(ctx context.Context, cmd EndSessions) (ended int64, err error) {
	ended, err = a.config.Store.RevokeSessions(ctx, cmd.UserID, session.ByOwner, a.now())
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return ended, nil
}
