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
	"github.com/muster-id/muster/eventstore/eventtest"
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
	if err := punctual(t, log, other, 3*time.Second, time.Second); err != nil {
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
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var working sync.WaitGroup
	working.Go(func() {
		defer stop()
		_ = clock.Sleep(writing, length) // it ends with the test at the latest
	})
	for i, database := range []secret.String{log.urls.Runtime, teststack.Admin(t)} {
		working.Go(func() { stayOpen(writing, t, clock, database, uint64(i)) })
	}
	streams := make([]string, 48)
	for i := range streams {
		streams[i] = newStream()
	}
	var mu sync.Mutex
	committed := make(map[uuid.UUID]eventtest.Moment)
	for w := range 24 {
		working.Go(func() {
			dice := rand.New(rand.NewPCG(11, uint64(w)))
			for clock.Sleep(writing, time.Duration(50+dice.IntN(150))*time.Millisecond) == nil {
				events, err := writeAdversely(t, log.Log, dice, streams[dice.IntN(len(streams))])
				if err != nil {
					t.Errorf("writer: %v", err)
					return
				}
				at := clock.Now()
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
	arrived := make(map[uuid.UUID]eventtest.Moment)
	for last := false; ; {
		page, err := reader.ReadLog(t.Context(), cursor, defaultPage, wait)
		if starved(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		at := clock.Now()
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
func stayOpen(ctx context.Context, t *testing.T, clock *eventtest.FairClock, database secret.String, seed uint64) {
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
		if clock.Sleep(ctx, time.Duration(400+dice.IntN(400))*time.Millisecond) != nil {
			return
		}
		if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
			return
		}
	}
}

// lateness tells which events took longer than promptly by the fair clock, and
// logs by the clock on the wall how long they took.
func lateness(t testing.TB, committed, arrived map[uuid.UUID]eventtest.Moment) error {
	t.Helper()
	var took, fair []time.Duration
	var late int
	for id, at := range committed {
		got, delivered := arrived[id]
		if !delivered {
			continue // compare tells
		}
		// It may arrive before its writer is told of its commit.
		took = append(took, max(got.Wall.Sub(at.Wall), 0))
		fair = append(fair, max(got.Fair-at.Fair, 0))
		if got.Fair-at.Fair > promptly {
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

// newFairClock beats with the newest events, which is what a reader asks for too.
func newFairClock(t *testing.T, log fixture) *eventtest.FairClock {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), log.urls.Runtime.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // after the clock has ended
	return eventtest.NewFairClock(t, func(ctx context.Context) error {
		var events int
		return conn.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM log.events ORDER BY "offset" DESC LIMIT 100) AS e`).Scan(&events)
	})
}
