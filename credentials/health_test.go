package credentials

import (
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore/projection"
)

func TestHealthTurnsRedWhenTheRowsDoNotFollowOrTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	caughtUp := make(chan struct{})
	state, since, database := projection.CatchingUp, now, true
	h := &health{
		caughtUp:  caughtUp,
		projector: func() projection.Stats { return projection.Stats{State: state, HeldUpSince: since} },
		database:  func() bool { return database },
		now:       func() time.Time { return now },
	}
	if h.ready() {
		t.Error("ready before the rows have caught up")
	}
	close(caughtUp)
	for _, step := range []struct {
		what     string
		pass     time.Duration
		state    projection.State
		database bool
		want     bool
	}{
		{"caught up", 0, projection.Live, true, true},
		{"an event fails", 0, projection.Failing, true, true},
		{"and fails for less than 30 s", 29 * time.Second, projection.Failing, true, true},
		{"and for 30 s", time.Second, projection.Failing, true, false},
		{"applied at last", 0, projection.Live, true, true},
		{"another one has failed for an hour, and nobody asked", time.Hour, projection.Failing, true, false},
		{"applied too", 0, projection.Live, true, true},
		{"the log is in a new epoch", 0, projection.RebuildNeeded, true, true},
		{"for as long together", 30 * time.Second, projection.RebuildNeeded, true, false},
		{"rebuilt", 0, projection.Live, true, true},
		{"the database is away", 0, projection.Live, false, false},
		{"and back", 0, projection.Live, true, true},
	} {
		if step.state == projection.Live {
			since = now // whatever fails next begins here
		}
		now = now.Add(step.pass)
		state, database = step.state, step.database
		if got := h.ready(); got != step.want {
			t.Errorf("%s: ready is %v, want %v", step.what, got, step.want)
		}
	}
}
