package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// promptly is how soon after its commit an event has to be with a reader that
// waits at the head.
const promptly = 100 * time.Millisecond

func TestNoEventIsLateThatWasCommittedBesideOpenTransactions(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	other := openLog(t, log.urls) // of another process than the writers
	run(t, log.Log)
	run(t, other)
	if err := punctual(t, log, other, 5*time.Second, time.Second); err != nil {
		t.Error(err)
	}
}

// stalled makes a reader end its ticks at the oldest transaction of the whole
// server, as those do that compare ids with pg_snapshot_xmin alone: it skips
// nothing, and waits for whoever has forgotten a transaction.
func stalled(t testing.TB, r *reader) {
	t.Helper()
	r.look = replaced(t, r.look, `SELECT pg_current_snapshot() AS new`,
		`SELECT (pg_snapshot_xmin(pg_current_snapshot()) || ':' || pg_snapshot_xmin(pg_current_snapshot()) || ':')::pg_snapshot AS new`)
}

// punctual lets 24 writers write as adverse does, at a pace that the machine
// keeps up with, while transactions of this and another database stay open for
// long and others follow them. It says what one reader, which waits at the head,
// was given late, twice, out of order or never.
func punctual(t *testing.T, log fixture, reader *Log, length, wait time.Duration) error {
	t.Helper()
	// Begins at a snapshot that any reader can begin with.
	from := now(t, log.Log)
	from.old.xmax, from.old.xip = from.old.xmin, nil
	cursor := log.reader().encode(from)

	clock := newFairClock(t, log)
	writing, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var working sync.WaitGroup
	for i, database := range []secret.String{log.urls.Runtime, teststack.Admin(t)} {
		working.Go(func() { stayOpen(writing, t, database, uint64(i)) })
	}
	streams := make([]string, 48)
	for i := range streams {
		streams[i] = newStream()
	}
	var mu sync.Mutex
	committed := make(map[uuid.UUID]moment)
	for w := range 24 {
		working.Go(func() {
			dice := rand.New(rand.NewPCG(11, uint64(w)))
			for backoff.Sleep(writing, time.Duration(50+dice.IntN(150))*time.Millisecond) == nil {
				events, err := writeAdversely(t, log.Log, dice, streams[dice.IntN(len(streams))])
				if err != nil {
					t.Errorf("writer: %v", err)
					return
				}
				at := clock.now()
				log.bell.ring() // as Append does after its commit
				log.notifier.wake()
				mu.Lock()
				for _, event := range events {
					committed[event.ID] = at
				}
				mu.Unlock()
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		working.Wait()
		close(ended)
	}()

	var delivered []eventstore.Event
	arrived := make(map[uuid.UUID]moment)
	for last := false; ; {
		page, err := reader.ReadLog(t.Context(), cursor, defaultPage, wait)
		if err != nil {
			t.Fatal(err)
		}
		at := clock.now()
		for _, event := range page.Events {
			arrived[event.ID] = at
		}
		delivered = append(delivered, page.Events...)
		cursor = page.Next
		if last && page.AtHead {
			break
		}
		select {
		case <-ended:
			last, wait = true, 0
		default:
		}
	}
	<-ended
	return errors.Join(compare(t, log.Log, delivered), lateness(t, committed, arrived))
}

// stayOpen keeps a transaction with an id open for most of the time.
func stayOpen(ctx context.Context, t *testing.T, database secret.String, seed uint64) {
	dice := rand.New(rand.NewPCG(13, seed))
	conn, err := pgx.Connect(ctx, database.Reveal())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // its transaction is rolled back
	for ctx.Err() == nil {
		if _, err := conn.Exec(ctx, `BEGIN; SELECT pg_current_xact_id(); SAVEPOINT inner_one`); err != nil {
			return // only the end of ctx
		}
		if backoff.Sleep(ctx, time.Duration(400+dice.IntN(400))*time.Millisecond) != nil {
			return
		}
		if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
			return
		}
	}
}

// lateness tells which events took longer than promptly by the fair clock, and
// logs by the clock on the wall how long they took.
func lateness(t testing.TB, committed, arrived map[uuid.UUID]moment) error {
	t.Helper()
	var took, fair []time.Duration
	var late int
	for id, at := range committed {
		got, delivered := arrived[id]
		if !delivered {
			continue // compare tells
		}
		// It may arrive before its writer is told of its commit.
		took = append(took, max(got.wall.Sub(at.wall), 0))
		fair = append(fair, max(got.fair-at.fair, 0))
		if got.fair-at.fair > promptly {
			late++
		}
	}
	if len(took) == 0 {
		return errors.New("nothing was committed and delivered")
	}
	slices.Sort(took)
	slices.Sort(fair)
	at := func(all []time.Duration, share float64) time.Duration {
		return all[int(share*float64(len(all)-1))].Round(100 * time.Microsecond)
	}
	t.Logf("from commit to delivery: p50 %s, p99 %s, at most %s; by the fair clock at most %s",
		at(took, 0.5), at(took, 0.99), at(took, 1), at(fair, 1))
	if late > 0 {
		return fmt.Errorf("%d of %d events were delivered more than %s after their commit, the last %s after it",
			late, len(took), promptly, at(fair, 1))
	}
	return nil
}

// moment is a time by the clock on the wall and by the fair clock.
type moment struct {
	wall time.Time
	fair time.Duration
}

// fairClock tells how much time the machine has had for its work, so that a test
// can hold the reader to a bound and not the machine. A beat is a pause and a
// plain query; one that takes longer than it should counts as one that does not:
// what starves the reader, its process or its server, starves the clock too. What
// makes the reader wait, and not the server, does not.
type fairClock struct {
	mu   sync.Mutex
	fair time.Duration
}

const (
	beatPause = 5 * time.Millisecond
	beatMost  = 10 * time.Millisecond
)

func newFairClock(t *testing.T, log fixture) *fairClock {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), log.urls.Runtime.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	clock := &fairClock{}
	ctx, cancel := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	beating.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
		for before := time.Now(); ; {
			if backoff.Sleep(ctx, beatPause) != nil {
				return
			}
			var events int
			if err := conn.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM log.events ORDER BY "offset" DESC LIMIT 100) AS e`).Scan(&events); err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			after := time.Now()
			clock.mu.Lock()
			clock.fair += min(after.Sub(before), beatMost)
			clock.mu.Unlock()
			before = after
		}
	})
	t.Cleanup(func() {
		cancel()
		beating.Wait()
	})
	return clock
}

func (c *fairClock) now() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return moment{time.Now(), c.fair}
}
