package credentials

import (
	"time"

	"github.com/muster-id/muster/eventstore/projection"
)

// health tells whether credentials is of use: it answers from its own database,
// from rows that follow the log.
type health struct {
	// caughtUp is closed once the rows hold all that was in the log at the start.
	caughtUp <-chan struct{}
	// projector tells how the projection is, database whether it answers.
	projector func() projection.Stats
	database  func() bool
	now       func() time.Time
}

func (h *health) ready() bool {
	select {
	case <-h.caughtUp:
	default:
		return false
	}
	stats := h.projector()
	// As at the start, also in a database that was lost: nobody can sign in yet.
	return h.follows(stats) && stats.State != projection.CatchingUp && h.database()
}

// follows tells whether the rows follow the log, a retry or two aside.
func (h *health) follows(stats projection.Stats) bool {
	failing := stats.State == projection.Failing || stats.State == projection.RebuildNeeded
	return !failing || h.now().Sub(stats.HeldUpSince) < projection.HeldUpFor
}
