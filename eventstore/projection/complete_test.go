package projection

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

func (b *bench) complete(t tester) bool {
	t.Helper()
	var complete bool
	if err := b.pool.QueryRow(t.Context(), `SELECT complete FROM read.projections WHERE name = 'tallies'`).Scan(&complete); err != nil {
		t.Fatal(err)
	}
	return complete
}

// Rows are complete once all of the log is in them, and not as soon as there are
// some.
func TestRowsAreCompleteAtTheHeadOfTheLogAndNotBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 5)
	halfway, goOn := make(chan struct{}), make(chan struct{})
	stop := sync.OnceFunc(func() {
		close(halfway)
		<-goOn
	})
	b.log.set(func(l *fakeLog) {
		l.small = 1
		l.mangle = func(events []eventstore.Event) []eventstore.Event {
			if len(events) > 0 && string(events[0].Payload) == "10" {
				stop() // ten are in the rows
			}
			return events
		}
	})
	p, _ := b.start(t)
	<-halfway
	if rows := b.projection.rows(t, b.pool); len(rows) == 0 || b.complete(t) {
		t.Errorf("%d rows, and complete: %v", len(rows), b.complete(t))
	}
	close(goOn)
	ready(t, p)
	if !b.complete(t) {
		t.Error("ready, and not complete")
	}
}

// A process that has followed the log into tables that are gone knows nothing of
// those that are there now.
func TestRowsAreNotCompletedByWhoFilledFormerOnes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.projector()
	if err := p.store.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.store.complete(t.Context(), uuid.New()); err != nil || b.complete(t) {
		t.Errorf("complete: %v, %v", b.complete(t), err)
	}
	at, _, err := p.store.serving(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.store.complete(t.Context(), at.incarnation); err != nil || !b.complete(t) {
		t.Errorf("complete: %v, %v", b.complete(t), err)
	}
}
