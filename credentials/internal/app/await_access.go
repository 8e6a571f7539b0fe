package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
)

var (
	// ErrNotCaughtUp means that the projection has not applied the position in time. It will.
	ErrNotCaughtUp = errors.New("access projection has not caught up")
	// ErrPositionInvalid means that the position is of another log, or of a former epoch.
	ErrPositionInvalid = errors.New("position is not one of the log as it is now")
)

// AwaitAccess waits, 2 seconds at most, until the access projection has applied
// a position. Errors: ErrNotCaughtUp, ErrPositionInvalid.
func (a *App) AwaitAccess(ctx context.Context, position eventstore.Position) error {
	err := a.config.Access.Await(ctx, position)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, projection.ErrNotApplied), errors.Is(err, projection.ErrTooManyWaiters):
		return fmt.Errorf("await access: %w", ErrNotCaughtUp)
	case errors.Is(err, eventstore.ErrEpochChanged), errors.Is(err, projection.ErrForeignLog):
		return fmt.Errorf("await access: %w", ErrPositionInvalid)
	}
	return fmt.Errorf("await access: %w", err)
}
