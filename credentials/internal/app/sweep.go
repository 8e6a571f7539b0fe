package app

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// sweepInterval is the mean time between two sweeps; rows become due once a day.
	sweepInterval = time.Hour
	// sweepTimeout bounds one batch.
	sweepTimeout = 30 * time.Second
)

// Sweeper deletes sessions that are long over, so that their table does not
// grow without end.
type Sweeper struct {
	store  *store.Store
	logger *slog.Logger
	now    func() time.Time
}

// NewSweeper makes a Sweeper; it does nothing before Run.
func NewSweeper(store *store.Store, logger *slog.Logger, now func() time.Time) *Sweeper {
	return &Sweeper{store: store, logger: logger, now: now}
}

// Run sweeps at once and then about every hour until ctx ends, and then returns nil.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "ended sessions could not be deleted, trying again later", slog.Any("error", err))
		}
		// Jitter, so that replicas do not sweep together.
		if backoff.Sleep(ctx, sweepInterval/2+rand.N(sweepInterval)) != nil {
			return nil //nolint:nilerr // told to end
		}
	}
}

// Sweep deletes what is due, batch by batch.
func (s *Sweeper) Sweep(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = s.batch(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sweeper) batch(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	_, more, err = s.store.DeleteSessions(ctx, s.now())
	return more, err
}
