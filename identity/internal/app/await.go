package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
)

var (
	// ErrNotCaughtUp: the projection has not applied the position in time. It will.
	ErrNotCaughtUp = errors.New("projection has not caught up")
	// ErrPositionInvalid: the position is of a former epoch of its log.
	ErrPositionInvalid = errors.New("position is not one of the log as it is now")
)

// Projection is a read model that can be waited for, as *projection.Projector can.
type Projection interface {
	Await(ctx context.Context, position eventstore.Position) error
}

// Await asks for a position to be in the rows that are read.
type Await struct {
	Position eventstore.Position
}

// AwaitHandler handles Await.
type AwaitHandler struct {
	projections map[string]Projection
}

// Handle waits, 2 seconds at most, until the projection that follows the
// position's log has applied it. Errors: *InvalidFieldError, ErrNotCaughtUp,
// ErrPositionInvalid.
func (h *AwaitHandler) Handle(ctx context.Context, a Await) error {
	following, known := h.projections[a.Position.Log]
	if !known {
		return fmt.Errorf("await: %w", &InvalidFieldError{Field: "position.log", Problem: "Nothing here follows this log"})
	}
	err := following.Await(ctx, a.Position)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, projection.ErrNotApplied), errors.Is(err, projection.ErrTooManyWaiters):
		return fmt.Errorf("%w: %w", ErrNotCaughtUp, err)
	case errors.Is(err, eventstore.ErrEpochChanged):
		return fmt.Errorf("%w: %w", ErrPositionInvalid, err)
	}
	return err
}
