package projection

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/backoff"
)

//go:embed queries/complete.sql
var completeSQL string

// complete notes in the pointer row that the rows which serve hold all of the
// log. Services read it there, together with the rows: what a process knows of
// its own progress says nothing about tables that were made anew a moment ago.
func (s *store) complete(ctx context.Context, incarnation uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, completeSQL, s.name, incarnation); err != nil {
		return fmt.Errorf("note that the rows are complete: %w", err)
	}
	return nil
}

// completes notes it once the head of the log was reached, and tells whether
// ctx has not ended before.
func (f *follower) completes(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-f.caughtUp:
	}
	var retry backoff.Backoff
	for {
		bounded, cancel := context.WithTimeout(ctx, sourceTimeout)
		err := f.store.complete(bounded, f.incarnation)
		cancel()
		if err == nil {
			return true
		}
		if retry.Pause(ctx) != nil {
			return false
		}
	}
}
