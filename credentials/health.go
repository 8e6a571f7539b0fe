package credentials

import (
	"sync"
	"time"

	"github.com/muster-id/muster/eventstore/projection"
)

// heldUpFor is how long the projection may be held up before it shows: a retry
// or two is nobody's business.
const heldUpFor = 30 * time.Second

// health tells whether credentials is of use: it answers from its own database,
// from rows that follow the log.
type health struct {
	// caughtUp is closed once the rows hold all that was in the log at the start.
	caughtUp <-chan struct{}
	// projector tells how the projection is, database whether it answers.
	projector func() projection.Stats
	database  func() bool
	now       func() time.Time

	mu sync.Mutex
	// heldUpSince is when the projection was first seen held up; zero while it is not.
	heldUpSince time.Time
}

// ready is asked again and again, since it counts from when it first saw the
// projection held up.
func (h *health) ready() bool {
	select {
	case <-h.caughtUp:
	default:
		return false
	}
	state := h.projector().State
	// As at the start, also in a database that was lost: nobody can sign in yet.
	return h.follows(state) && state != projection.CatchingUp && h.database()
}

func (h *health) follows(state projection.State) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state != projection.Failing && state != projection.RebuildNeeded {
		h.heldUpSince = time.Time{}
		return true
	}
	if h.heldUpSince.IsZero() {
		h.heldUpSince = h.now()
	}
	return h.now().Sub(h.heldUpSince) < heldUpFor
}
