package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
)

// patient bounds what a busy machine may take.
const patient = 30 * time.Second

// eventually looks until it is so.
func eventually(t tester, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patient); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// rebuilt rebuilds and waits until that is done.
func rebuilt(t tester, p *Projector) {
	t.Helper()
	mustRebuild(t, p)
	if done := ended(t, p); done.State != Done {
		t.Fatalf("%+v", done)
	}
}

// ended waits for the end of the last operation.
func ended(t tester, p *Projector) Operation {
	t.Helper()
	var last Operation
	eventually(t, "the operation ends", func() bool {
		overview, err := p.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if overview.Operation == nil {
			return false
		}
		last = *overview.Operation
		return last.State != Running
	})
	return last
}

func states(t tester, p *Projector) string {
	t.Helper()
	overview, err := p.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, g := range overview.Generations {
		all = append(all, fmt.Sprintf("%d %s", g.Number, g.State))
	}
	return strings.Join(all, ", ")
}

func (b *bench) wantGeneration(t tester, generation int64) {
	t.Helper()
	got, want := b.projection.rowsOf(t, b.pool, generation), fold(b.log.all())
	if len(got) != len(want) {
		t.Errorf("generation %d: rows of %d streams, want %d", generation, len(got), len(want))
	}
	for stream, row := range want {
		if got[stream] != row {
			t.Errorf("generation %d: row of %s is %+v, want %+v", generation, stream, got[stream], row)
		}
	}
}

func (b *bench) fill(streams, each int) {
	for range each {
		for s := range streams {
			b.log.append(fmt.Sprintf("user-%02d", s), counted)
		}
	}
}

func (b *bench) count(t tester, query string, arguments ...any) (n int64) {
	t.Helper()
	if err := b.pool.QueryRow(context.Background(), query, arguments...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func mustRebuild(t tester, p *Projector) Operation {
	t.Helper()
	begun, err := p.Rebuild(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	return begun
}

func TestRebuildServesAndTheFormerGenerationIsFedUntilItIsDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.small = 7
	b.fill(5, 10)
	p, _ := b.start(t)
	ready(t, p)

	begun := mustRebuild(t, p)
	if begun.Kind != Rebuild || begun.Generation != 2 || begun.State != Running || begun.StartedBy != "user-1" || begun.Projection != "tallies" {
		t.Errorf("begun: %+v", begun)
	}
	done := ended(t, p)
	if done.State != Done || done.EventsDone != 50 || done.EventsLeft != 0 || done.FinishedAt.IsZero() {
		t.Errorf("done: %+v", done)
	}
	if got := states(t, p); got != "1 former, 2 serving" {
		t.Errorf("generations: %s", got)
	}
	b.wantGeneration(t, 2)

	b.fill(6, 1)
	b.await(t, p, "user-00", "user-05")
	b.wantGeneration(t, 2)
	eventually(t, "the former generation is fed", func() bool {
		return b.count(t, `SELECT sum(events) FROM read.tallies WHERE generation = 1`) == 56
	})
	b.wantGeneration(t, 1)

	if _, err := p.Rollback(t.Context(), 2); !errors.Is(err, ErrNoFormer) {
		t.Errorf("roll back to what serves: %v", err)
	}
	back, err := p.Rollback(t.Context(), 1)
	if err != nil || back != 1 {
		t.Fatalf("roll back: %d, %v", back, err)
	}
	if got := states(t, p); got != "1 serving, 2 former" {
		t.Errorf("generations: %s", got)
	}
	b.fill(6, 1)
	b.await(t, p, "user-00", "user-05")
	b.wantGeneration(t, 1)

	if _, err := p.Drop(t.Context(), 1); !errors.Is(err, ErrNoFormer) {
		t.Errorf("drop what serves: %v", err)
	}
	if dropped, err := p.Drop(t.Context(), 2); err != nil || dropped != 2 {
		t.Fatalf("drop: %d, %v", dropped, err)
	}
	eventually(t, "the generation is gone", func() bool { return states(t, p) == "1 serving" })
	b.wantNothingOf(t, 2)
	b.wantGeneration(t, 1)
	if _, err := p.Drop(t.Context(), 0); !errors.Is(err, ErrNoFormer) {
		t.Errorf("drop nothing: %v", err)
	}
	if _, err := p.Rollback(t.Context(), 0); !errors.Is(err, ErrNoFormer) {
		t.Errorf("roll back to nothing: %v", err)
	}
}

func (b *bench) wantNothingOf(t tester, generation int64) {
	t.Helper()
	for _, table := range []string{"tallies", "applied", "parked", "generations"} {
		if n := b.count(t, `SELECT count(*) FROM read.`+table+` WHERE generation = $1`, generation); n != 0 {
			t.Errorf("%d rows of generation %d are left in %s", n, generation, table)
		}
	}
}

// gate holds a generation before each of its batches, one permit a batch.
func (b *bench) gate(generation int64) (entered, leave chan struct{}) {
	entered, leave = make(chan struct{}, 1000), make(chan struct{})
	b.projection.beforeIn = func(ctx context.Context, in int64, _ []eventstore.Opened) error {
		if in != generation {
			return nil
		}
		entered <- struct{}{}
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return entered, leave
}

func TestEverythingGoesOnWhileARebuildIsUnderWayAndASecondOneIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 3)
	entered, leave := b.gate(2)
	p, _ := b.start(t)
	ready(t, p)
	first := mustRebuild(t, p)
	<-entered

	b.fill(3, 1)
	b.await(t, p, "user-00", "user-01", "user-02")
	b.wantGeneration(t, 1)

	var underWay *UnderWayError
	if _, err := p.Rebuild(t.Context(), "user-2"); !errors.As(err, &underWay) || underWay.Operation.Generation != first.Generation || underWay.Operation.StartedBy != "user-1" {
		t.Errorf("a second rebuild: %v", err)
	}
	// Another projection of the database too: its refusal names the first.
	other := *b
	other.projection, other.log = &tallies{name: "others"}, newFakeLog()
	q, _ := other.start(t)
	ready(t, q)
	if _, err := q.Verify(t.Context(), "user-2"); !errors.As(err, &underWay) || !strings.Contains(err.Error(), "the rebuild of tallies into generation 2") {
		t.Errorf("a verification of another projection: %v", err)
	}
	if err := q.Cancel(t.Context()); !errors.Is(err, ErrNothingUnderWay) {
		t.Errorf("cancel another one's: %v", err)
	}
	eventually(t, "the progress shows", func() bool { return p.Stats().Progress != nil })
	close(leave)
	if done := ended(t, p); done.State != Done {
		t.Errorf("%+v", done)
	}
	b.wantGeneration(t, 2)
}

func TestACancelledRebuildLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.small = 4
	b.fill(4, 10)
	entered, leave := b.gate(2)
	p, _ := b.start(t)
	ready(t, p)
	mustRebuild(t, p)
	for range 3 {
		<-entered
		leave <- struct{}{}
	}
	<-entered
	cancelled := make(chan error, 1)
	go func() { cancelled <- p.Cancel(context.Background()) }()
	eventually(t, "it waits for the batch", func() bool {
		return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%dropping%' AND datname = current_database()`) == 1
	})
	close(leave)
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	if got := ended(t, p); got.State != Cancelled {
		t.Errorf("%+v", got)
	}
	eventually(t, "nothing is left", func() bool { return states(t, p) == "1 serving" })
	b.wantNothingOf(t, 2)
	if err := p.Cancel(t.Context()); !errors.Is(err, ErrNothingUnderWay) {
		t.Errorf("cancel again: %v", err)
	}
	// A number is not given again: somebody who is late may still delete its rows.
	if next := mustRebuild(t, p); next.Generation != 3 {
		t.Errorf("the next one: %+v", next)
	}
	if got := ended(t, p); got.State != Done {
		t.Errorf("the next one: %+v", got)
	}
}

// Cancelled while it waits to swap, it does not: what is being deleted must not
// serve, whoever deletes it.
func TestWhatIsGivenUpBeforeTheSwapNeverServes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 10)
	p, _ := b.start(t)
	ready(t, p)
	held, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(context.Background()) //nolint:errcheck // read only
	if _, err := held.Exec(t.Context(), `SELECT FROM read.projections FOR SHARE`); err != nil {
		t.Fatal(err)
	}
	mustRebuild(t, p)
	waiting := func() bool {
		return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%' AND datname = current_database()`) > 0
	}
	eventually(t, "it waits to swap", waiting)
	if err := p.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing of it is left", func() bool { return !waiting() && states(t, p) == "1 serving" })
	b.fill(4, 1)
	b.await(t, p, "user-00", "user-03")
	b.want(t)
	if got := ended(t, p); got.State != Cancelled {
		t.Errorf("%+v", got)
	}
}

// Whoever takes over goes on where the process before has stopped, and applies
// nothing twice.
func TestARebuildIsResumedByAnotherProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.small = 5
	b.fill(5, 20)
	entered, leave := b.gate(2)
	p, stop := b.start(t)
	ready(t, p)
	mustRebuild(t, p)
	for range 6 {
		<-entered
		leave <- struct{}{}
	}
	<-entered
	stop()
	read := b.count(t, `SELECT events_done FROM read.operations`)
	if read < 25 || read > 35 {
		t.Fatalf("%d events were read before the end of the process", read)
	}
	close(leave)
	q, _ := b.start(t)
	if done := ended(t, q); done.State != Done || done.EventsDone != 100 {
		t.Errorf("%+v", done)
	}
	b.wantGeneration(t, 2)
}

// A process that was killed leaves a lease behind; until it ends, nobody else
// takes the generation, and a process that only seemed dead cannot write.
func TestALeaseKeepsOthersAwayUntilItEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.small = 5
	b.fill(5, 100)
	entered, leave := b.gate(2)
	p, _ := b.start(t)
	ready(t, p)
	mustRebuild(t, p)
	<-entered
	// Another process has the lease now, as after a long stop of ours.
	thief := uuid.New()
	taken := make(chan error, 1)
	go func() { // waits for the batch, which has locked its lease before
		_, err := b.pool.Exec(context.Background(), `UPDATE read.generations SET worker = $1, leased_until = now() + interval '2 seconds' WHERE generation = 2`, thief)
		taken <- err
	}()
	for waiting := true; waiting; {
		select {
		case leave <- struct{}{}:
		case err := <-taken:
			if err != nil {
				t.Fatal(err)
			}
			waiting = false
		}
	}
	eventually(t, "it is taken over", func() bool {
		return b.count(t, `SELECT count(*) FROM read.generations WHERE generation = 2 AND worker <> $1`, thief) == 1
	})
	close(leave)
	if done := ended(t, p); done.State != Done {
		t.Errorf("%+v", done)
	}
	b.wantGeneration(t, 2)
}

// Under load, with two processes, no reader ever sees rows that are older than
// those it has seen, and each rebuild ends with a fold of the log.
func TestReadersNeverSeeOlderRowsThroughSwaps(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.small = 50
	b.fill(10, 20)
	p, _ := b.start(t)
	q, _ := b.start(t)
	ready(t, p)
	ready(t, q)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	for w := range 2 {
		load.Go(func() {
			stream := fmt.Sprintf("user-%02d", w)
			var seen int64
			for ctx.Err() == nil {
				event := b.log.append(stream, counted)
				for errors.Is(p.Await(ctx, eventstore.Position{Log: "test", Epoch: 1, Stream: stream, Version: event.Version}), ErrNotApplied) {
				}
				var events int64
				err := b.pool.QueryRow(ctx, `SELECT t.events FROM read.projections AS p JOIN read.tallies AS t USING (generation)
					WHERE p.name = 'tallies' AND t.stream_id = $1`, stream).Scan(&events)
				if ctx.Err() != nil {
					return
				}
				if err != nil || events < seen || events < event.Version {
					t.Errorf("%s has %d events, awaited were %d, seen %d: %v", stream, events, event.Version, seen, err)
					return
				}
				seen = events
			}
		})
	}
	for range 3 {
		mustRebuild(t, p)
		if done := ended(t, q); done.State != Done {
			t.Errorf("%+v", done)
		}
	}
	if _, err := q.Rollback(t.Context(), 0); err != nil {
		t.Error(err)
	}
	stop()
	load.Wait()
	b.await(t, p, "user-00", "user-01")
	b.wantGeneration(t, 3)
}

// In a new epoch the rows may be ahead of the log: they are made anew, and
// nobody has to ask.
func TestANewEpochRebuildsByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 5)
	p, _ := b.start(t)
	ready(t, p)
	b.log.set(func(l *fakeLog) { // a restore that has lost the newest
		l.epoch, l.events = 2, l.events[:12]
		for stream := range l.heads {
			l.heads[stream] = 3
		}
	})
	eventually(t, "new rows serve", func() bool { return p.Stats().Generation == 2 })
	b.log.append("user-00", counted)
	b.await(t, p, "user-00")
	b.wantGeneration(t, 2)
	if got := ended(t, p); got.State != Done || got.StartedBy != rebuilder {
		t.Errorf("%+v", got)
	}
	// The rows of the former epoch cannot serve again.
	eventually(t, "the former generation goes", func() bool { return states(t, p) == "2 serving" })
}

// A database that was lost and made again by another process is noticed, though
// nothing fails: the log is read from the beginning.
func TestTablesThatWereMadeAnewAreFilledFromTheBeginning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 5)
	p, _ := b.start(t)
	ready(t, p)
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		for _, statement := range []string{
			`DELETE FROM read.tallies`, `DELETE FROM read.applied`, `DELETE FROM read.generations`,
			`UPDATE read.projections SET incarnation = gen_random_uuid(), epoch = 0`,
			`INSERT INTO read.generations (projection, generation, state, epoch, cursor, begun_at) VALUES ('tallies', 1, 'serving', 0, '', now())`,
		} {
			if _, err := tx.Exec(t.Context(), statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.log.append("user-00", counted)
	b.lines.next(t, "lost and made anew")
	b.await(t, p, "user-00", "user-01", "user-02", "user-03")
	b.want(t)
}

// Only a generation that is compared does nothing beside its rows.
type reacting struct {
	*tallies
	reactions atomic.Int64
}

func (r *reacting) React(context.Context, pgx.Tx, []eventstore.Opened) error {
	r.reactions.Add(1)
	return nil
}

func TestAVerificationReactsToNothingAndARebuildDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(2, 2)
	r := &reacting{tallies: b.projection}
	config := Config{Pool: b.pool, Log: "test", Projection: r, Codec: plain{}, Source: b.log, Logger: b.projector().logger}
	p := New(config)
	launch(t, p)
	ready(t, p)
	before := r.reactions.Load()
	if _, err := p.Verify(t.Context(), "user-1"); err != nil {
		t.Fatal(err)
	}
	if done := ended(t, p); done.State != Done || done.Verification == nil || done.Verification.Rows != 2 || done.Verification.Differing != 0 {
		t.Errorf("%+v", done)
	}
	if after := r.reactions.Load(); after != before {
		t.Errorf("%d reactions of a verification", after-before)
	}
	eventually(t, "what was made for it is gone", func() bool { return states(t, p) == "1 serving" })
	b.wantNothingOf(t, 2)
	mustRebuild(t, p)
	ended(t, p)
	if after := r.reactions.Load(); after == before {
		t.Error("a rebuild reacts to nothing: what the rows before have missed is lost")
	}
}

// A row that was changed in the database is found, and a rebuild mends it. While
// the log moves, nothing is reported that only lags.
func TestVerifyFindsAChangedRowAndARebuildMendsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(20, 5)
	p, _ := b.start(t)
	ready(t, p)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	load.Go(func() {
		for ctx.Err() == nil {
			event := b.log.append("user-01", counted)
			_ = p.Await(ctx, eventstore.Position{Log: "test", Epoch: 1, Stream: "user-01", Version: event.Version})
		}
	})
	verify := func() *Verification {
		if _, err := p.Verify(t.Context(), "user-1"); err != nil {
			t.Fatal(err)
		}
		done := ended(t, p)
		if done.State != Done || done.Verification == nil {
			t.Fatalf("%+v", done)
		}
		return done.Verification
	}
	if found := verify(); found.Differing != 0 || found.Rows != 20 {
		t.Errorf("untouched: %+v", found)
	}
	if _, err := b.pool.Exec(t.Context(), `UPDATE read.tallies SET events = 7, digest = 'canary' WHERE stream_id = 'user-05'`); err != nil {
		t.Fatal(err)
	}
	found := verify()
	if found.Differing != 1 || len(found.Differences) != 1 || found.Differences[0].Kind != Changed || !strings.Contains(found.Differences[0].Key, "user-05") {
		t.Fatalf("%+v", found)
	}
	if text := fmt.Sprintf("%+v", found); strings.Contains(text, "canary") || !strings.Contains(text, "[redacted]") {
		t.Errorf("a sensitive value shows: %s", text)
	}
	mustRebuild(t, p)
	if done := ended(t, p); done.State != Done {
		t.Errorf("%+v", done)
	}
	if found := verify(); found.Differing != 0 {
		t.Errorf("after the rebuild: %+v", found)
	}
}
