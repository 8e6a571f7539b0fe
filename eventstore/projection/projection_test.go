package projection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
)

func TestTailAloneMakesTheRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 1200 {
		b.log.append(fmt.Sprintf("user-%d", i%7), counted)
	}
	p, stop := b.start(t)
	ready(t, p)
	b.want(t)
	if got := p.Stats(); got.State != Live || got.Applied != 1200 || got.BrokerDelivers || got.LastError != "" {
		t.Errorf("stats after catching up: %+v", got)
	}
	b.log.append("user-3", counted)
	b.await(t, p, "user-3")
	b.want(t)

	// A second process goes on where the first left off.
	stop()
	var applied atomic.Int64
	b.projection.before = func(_ context.Context, _ pgx.Tx, events []eventstore.Opened) error {
		applied.Add(int64(len(events)))
		return nil
	}
	b.log.append("user-4", counted)
	b.log.first = nil
	p, stop = b.start(t)
	ready(t, p)
	stop()
	b.want(t)
	if *b.log.first != "1:1201" {
		t.Errorf("the second process began at %q, want \"1:1201\"", *b.log.first)
	}
	if applied.Load() != 1 {
		t.Errorf("%d events applied after the restart, want 1", applied.Load())
	}
}

func TestEventsOfUnhandledTypesAreAppliedWithoutBeingOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	b.log.append("user-1", ignored)
	b.log.append("user-2", ignored)
	p, _ := b.start(t)
	b.await(t, p, "user-1", "user-2")
	b.log.append("user-1", counted)
	b.await(t, p, "user-1")
	b.want(t)
}

func TestSilentBrokerCostsAtMostASecond(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	p, _ := b.start(t)
	ready(t, p)
	soonest := time.Hour // of some: a busy machine costs time too
	for range 4 {
		began := time.Now()
		b.log.append("user-1", counted)
		b.await(t, p, "user-1")
		soonest = min(soonest, time.Since(began))
	}
	if soonest > time.Second {
		t.Errorf("applied after %v at the soonest, want at most a second", soonest)
	}
	b.want(t)
}

// brokered has a broker that delivers, and a tail that is let see nothing new.
func brokered(t *testing.T) (*bench, *Projector, func()) {
	b := newBench(t)
	b.broker = newFakeBroker()
	b.log.shown = 0
	p, stop := b.start(t)
	ready(t, p)
	return b, p, stop
}

func TestBrokerAloneMakesTheRows(t *testing.T) {
	t.Parallel()
	b, p, stop := brokered(t)
	for i := range 2000 {
		b.broker.deliver(b.log.append(fmt.Sprintf("user-%d", i%5), counted))
	}
	b.await(t, p, "user-0", "user-1", "user-2", "user-3", "user-4")
	b.want(t)
	stop()
	if b.log.gaps != 0 {
		t.Errorf("%d reads for gaps, though nothing was missing", b.log.gaps)
	}
}

// What the broker has brought and nobody can apply is behind as well, though the
// tail, which waits for its turn, has nothing new to tell.
func TestWhatTheBrokerHasBroughtIsALag(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	b.log.shown = 0
	inside, leave := make(chan struct{}), make(chan struct{})
	b.projection.before = func(context.Context, pgx.Tx, []eventstore.Opened) error {
		inside <- struct{}{}
		<-leave
		return nil
	}
	p, _ := b.start(t)
	defer close(leave)
	ready(t, p)
	b.broker.deliver(b.log.append("user-1", counted))
	<-inside
	if stats := p.Stats(); stats.LagEvents < 1 || stats.Lag <= 0 {
		t.Errorf("%d events are pending: %+v", stats.Pending, stats)
	}
}

func TestGapIsFilledFromTheLog(t *testing.T) {
	t.Parallel()
	b, p, _ := brokered(t)
	b.log.append("user-1", counted)
	b.log.append("user-1", ignored)
	b.broker.deliver(b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	b.want(t)
}

func TestGapWiderThanATransactionIsFilledInSeveral(t *testing.T) {
	t.Parallel()
	b, p, stop := brokered(t)
	largest := 0
	b.projection.before = func(_ context.Context, _ pgx.Tx, events []eventstore.Opened) error {
		largest = max(largest, len(events))
		return nil
	}
	for range 2*gapLimit + 10 {
		b.log.append("user-1", counted)
	}
	b.broker.deliver(b.log.append("user-2", counted), b.log.append("user-1", counted))
	b.await(t, p, "user-1", "user-2")
	b.want(t)
	stop()
	if largest > gapLimit+2 {
		t.Errorf("%d events in one transaction", largest)
	}
}

func TestMessageOfAnOlderEpochIsDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	b.log.epoch = 2
	b.log.shown = 0
	p, _ := b.start(t)
	ready(t, p)
	lost := b.log.append("user-1", counted) // was in the log before it was restored
	lost.Epoch = 1
	lost.Payload = []byte("lost")
	b.broker.deliver(lost, b.log.append("user-2", counted))
	b.await(t, p, "user-2")
	if rows := b.projection.rows(t, b.pool); len(rows) != 1 {
		t.Errorf("rows of %d streams, want that of user-2 only", len(rows))
	}
	b.log.set(func(l *fakeLog) { l.shown = -1 })
	b.await(t, p, "user-1")
	b.want(t)
}

func TestMessageThatIsNoEventIsDroppedAndDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b, p, stop := brokered(t)
	foreign := b.log.append("user-1", counted)
	foreign.Log = "media"
	b.broker.queue <- []byte("{")
	b.broker.deliver(foreign, b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	b.want(t)
	if got := p.Stats().Dropped; got != 2 {
		t.Errorf("%d messages dropped, want 2", got)
	}
	stop()
	if left := len(b.broker.unacked()); left != 0 {
		t.Errorf("%d messages without an answer", left)
	}
	if b.broker.refused != 2 {
		t.Errorf("%d messages were refused, want 2", b.broker.refused)
	}
}

func TestRedeliveryAfterTheCommitDoesNothingTwice(t *testing.T) {
	t.Parallel()
	b, p, stop := brokered(t)
	b.broker.deaf = true // as if each process were killed between commit and acknowledgement
	for i := range 50 {
		b.broker.deliver(b.log.append(fmt.Sprintf("user-%d", i%3), counted))
	}
	b.await(t, p, "user-0", "user-1", "user-2")
	for range 2 {
		stop()
		p, stop = b.start(t)
		b.broker.deliver(b.log.append("user-0", counted)) // comes behind what is delivered again
		b.await(t, p, "user-0")
	}
	b.want(t)
}

func TestFailingApplyIsRetriedNotSkippedNotAcknowledged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	b.log.shown = 0
	var broken atomic.Bool
	broken.Store(true)
	tried := make(chan struct{}, 100)
	b.projection.before = func(context.Context, pgx.Tx, []eventstore.Opened) error {
		tried <- struct{}{}
		if broken.Load() {
			return fmt.Errorf("the row is not to be had: %w", ErrAway)
		}
		return nil
	}
	p, stop := b.start(t)
	ready(t, p)
	b.broker.deliver(b.log.append("user-1", counted))
	b.lines.next(t, "the row is not to be had")
	for range 2 {
		<-tried
	}
	if got := p.Stats(); got.State != Failing || !strings.Contains(got.LastError, "not to be had") || got.Applied != 0 {
		t.Errorf("stats while it fails: %+v", got)
	}
	stop()
	if left := b.broker.unacked(); len(left) != 1 {
		t.Fatalf("%d messages left at the broker, want 1", len(left))
	} else {
		b.broker.queue <- left[0]
	}

	p, _ = b.start(t)
	b.lines.next(t, "the row is not to be had")
	<-tried
	broken.Store(false)
	b.await(t, p, "user-1")
	b.want(t)
	if line := b.lines.next(t, "projection "); !strings.HasPrefix(line, "projection goes on") {
		t.Errorf("second line while it failed in the same way: %s", line)
	}
	if got := p.Stats(); got.State != Live && got.State != CatchingUp || got.LastError != "" {
		t.Errorf("stats after it recovered: %+v", got)
	}
}

func TestConnectionLostInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var once atomic.Bool
	b.projection.before = func(ctx context.Context, tx pgx.Tx, _ []eventstore.Opened) error {
		if once.CompareAndSwap(false, true) {
			return tx.Conn().Close(ctx)
		}
		return nil
	}
	for range 10 {
		b.log.append("user-1", counted)
	}
	p, _ := b.start(t)
	b.await(t, p, "user-1")
	b.want(t)
}

func TestCancelledInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	entered := make(chan struct{})
	b.projection.before = func(ctx context.Context, _ pgx.Tx, _ []eventstore.Opened) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	for range 10 {
		b.log.append("user-1", counted)
	}
	_, stop := b.start(t)
	<-entered
	stop()
	if rows := b.projection.rows(t, b.pool); len(rows) != 0 {
		t.Errorf("rows after a batch that did not commit: %v", rows)
	}
	b.projection.before = nil
	p, _ := b.start(t)
	b.await(t, p, "user-1")
	b.want(t)
}

func TestTwoProcessesShareOneProjection(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	first, _ := b.start(t)
	second, _ := b.start(t)
	streams := make([]string, 20)
	for i := range streams {
		streams[i] = fmt.Sprintf("user-%d", i)
	}
	for i := range 3000 {
		event := b.log.append(streams[rand.IntN(len(streams))], []string{counted, counted, ignored}[i%3])
		if i%2 == 0 {
			b.broker.deliver(event)
		}
	}
	heads := make([]string, 0, len(streams))
	for stream := range fold(b.log.all()) {
		heads = append(heads, stream)
	}
	b.await(t, first, heads...)
	b.await(t, second, heads...)
	b.want(t)
	if total := first.Stats().Applied + second.Stats().Applied; total != 3000 {
		t.Errorf("%d events applied by the two together, want 3000", total)
	}
}

// What waits in the queue at a start is in the log too, where it costs one read
// and not one for each gap.
func TestBrokerIsNotTakenFromBeforeTheHeadIsReached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	for range 2 { // at the very first start, and at each later one
		gaps := b.log.gaps
		for range 3 {
			b.log.append("user-1", counted)
		}
		b.broker.deliver(b.log.append("user-1", counted))
		b.log.set(func(l *fakeLog) { l.away = errors.New("no route to the log") })
		p, stop := b.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := p.Await(ctx, b.log.position("user-1")); !errors.Is(err, ErrNotApplied) {
			t.Errorf("before the head: %v, want ErrNotApplied", err)
		}
		cancel()
		b.log.set(func(l *fakeLog) { l.away = nil })
		b.await(t, p, "user-1")
		stop()
		if b.log.gaps != gaps {
			t.Errorf("%d reads for gaps, though the tail brings all", b.log.gaps-gaps)
		}
	}
	b.want(t)
}

func TestLogAwayIsNoFaultWhileTheBrokerDelivers(t *testing.T) {
	t.Parallel()
	b, p, _ := brokered(t)
	b.broker.deliver(b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	b.log.set(func(l *fakeLog) { l.away = errors.New("no route to the log") })
	b.lines.next(t, "no route to the log")
	b.broker.deliver(b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	b.want(t)
	b.log.set(func(l *fakeLog) { l.away, l.shown = nil, -1 })
	b.lines.next(t, "projection goes on")
	b.want(t)
}

// The log refuses a cursor from before a crash of its server, in the same epoch.
func TestRefusedCursorCostsOnePassAndAppliesNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, _ := b.start(t)
	for range 10 {
		b.log.append("user-1", counted)
	}
	b.await(t, p, "user-1")
	b.log.set(func(l *fakeLog) { l.away = eventstore.ErrEpochChanged })
	b.lines.next(t, "projection is held up")
	b.log.set(func(l *fakeLog) { l.away, l.first = nil, nil })
	b.log.append("user-1", counted)
	b.await(t, p, "user-1")
	b.want(t)
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	if *b.log.first != "" {
		t.Errorf("it went on from %q, want the beginning", *b.log.first)
	}
}

// An event of a new epoch is not applied to rows of the former one: whoever waits
// for it gets it with the rebuild.
func TestEventOfANewEpochComesWithItsRebuild(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broker = newFakeBroker()
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)

	b.log.set(func(l *fakeLog) { l.epoch = 2 })
	b.broker.deliver(b.log.append("user-1", counted))
	if line := b.lines.next(t, "epoch 2"); !strings.Contains(line, "the log entered epoch 2; the projection has to be rebuilt") {
		t.Errorf("logged: %s", line)
	}
	b.await(t, p, "user-1")
	b.wantGeneration(t, 2)
}

func TestTailFindsTheNewEpochWithoutABroker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)
	b.log.set(func(l *fakeLog) { l.epoch = 2 })
	b.lines.next(t, "the log entered epoch 2; the projection has to be rebuilt")
	b.await(t, p, "user-1")
	b.wantGeneration(t, 2)
}

func TestBatchGoesIntoTheGenerationThatServes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)
	// The swap, as a rebuild will do it; the new generation is empty.
	if _, err := b.pool.Exec(t.Context(), `UPDATE read.projections SET generation = 2 WHERE name = $1`, b.projection.name); err != nil {
		t.Fatal(err)
	}
	b.log.append("user-1", counted)
	b.await(t, p, "user-1")
	var events int64
	if err := b.pool.QueryRow(t.Context(), `SELECT events FROM read.tallies WHERE generation = 2 AND stream_id = 'user-1'`).Scan(&events); err != nil {
		t.Fatal(err)
	}
	if rows := b.projection.rows(t, b.pool); events != 2 || rows["user-1"].Events != 1 {
		t.Errorf("generation 2 has %d events, generation 1 has %d; want 2 and 1", events, rows["user-1"].Events)
	}
}

func TestGenerationThatMovesWhileABatchIsPrepared(t *testing.T) {
	t.Parallel()
	b, p, stop := brokered(t)
	b.broker.deliver(b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	b.log.append("user-1", counted)
	b.log.set(func(l *fakeLog) {
		l.atGap = func() {
			if _, err := b.pool.Exec(context.Background(), `UPDATE read.projections SET generation = 2`); err != nil {
				t.Error(err)
			}
		}
	})
	b.broker.deliver(b.log.append("user-1", counted))
	b.await(t, p, "user-1")
	stop()
	if rows := b.projection.rows(t, b.pool); rows["user-1"].Events != 1 {
		t.Errorf("%d events in the generation that no longer serves, want 1", rows["user-1"].Events)
	}
}

func TestSwapWaitsForTheBatchInFlight(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	b.projection.before = func(context.Context, pgx.Tx, []eventstore.Opened) error {
		close(inside)
		<-leave
		return nil
	}
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	<-inside
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // read only
	var generation int64
	err = tx.QueryRow(t.Context(), `SELECT generation FROM read.projections WHERE name = $1 FOR UPDATE NOWAIT`, b.projection.name).Scan(&generation)
	if err == nil || !strings.Contains(err.Error(), "55P03") {
		t.Errorf("the pointer row could be taken while a batch was in flight: %v", err)
	}
	close(leave)
	ready(t, p)
}

// halfShown is a log that shows all of itself to whoever makes rows anew, and to
// the tail what its test lets it see.
type halfShown struct{ *fakeLog }

func (l halfShown) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	if limit != feedLimit && limit != shyLimit {
		return l.fakeLog.ReadLog(ctx, after, limit, wait)
	}
	whole := newFakeLog()
	l.mu.Lock()
	whole.events, whole.changed = l.events, l.changed
	l.mu.Unlock()
	return whole.ReadLog(ctx, after, limit, wait)
}

// Whatever the broker does with the messages, whenever a process ends, and
// whenever the rows are made anew, they are a plain fold of the log, as are those
// of a rebuild at the end.
func TestRowsAreAFoldOfTheLog(t *testing.T) {
	t.Parallel()
	shared := newBench(t)
	var run atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		b := &bench{
			pool: shared.pool, log: newFakeLog(), broker: newFakeBroker(), lines: newLogLines(),
			projection: &tallies{name: fmt.Sprintf("tallies-%d", run.Add(1))},
		}
		b.broker.deaf = rapid.Bool().Draw(t, "deaf")
		streams := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 60).Draw(t, "streams")
		for _, stream := range streams {
			b.log.append(fmt.Sprintf("user-%d", stream), rapid.SampledFrom([]string{counted, counted, ignored}).Draw(t, "type"))
		}
		// The tail sees a part only, and that out of order and twice, until the end.
		b.log.shown = rapid.IntRange(0, len(streams)).Draw(t, "shown")
		messages := rapid.SliceOfN(rapid.IntRange(0, len(streams)-1), 0, 2*len(streams)).Draw(t, "messages")
		restarts := rapid.SliceOfN(rapid.IntRange(0, len(messages)), 0, 2).Draw(t, "restarts")
		backwards := rapid.Bool().Draw(t, "backwards")
		b.log.mangle = func(events []eventstore.Event) []eventstore.Event {
			if backwards {
				slices.Reverse(events)
			}
			return append(events, events...)
		}

		// What is made anew reads the log in large pages, and all of it.
		start := func() (*Projector, func()) {
			p := b.projectorOf(halfShown{b.log})
			return p, launch(t, p)
		}
		rebuilds := rapid.SliceOfN(rapid.IntRange(0, len(messages)), 0, 2).Draw(t, "rebuilds")

		begun := false
		p, stop := start()
		all, delivered := b.log.all(), make(map[string]int64)
		for i, message := range messages {
			if slices.Contains(restarts, i) {
				stop()
				p, stop = start()
			}
			if slices.Contains(rebuilds, i) {
				eventually(t, "a rebuild is under way", func() bool {
					var underWay *UnderWayError
					_, err := p.Rebuild(t.Context(), "user-1")
					if err != nil && !errors.As(err, &underWay) && !errors.Is(err, ErrAway) && !errors.Is(err, ErrBusy) { // it has just been started
						t.Fatal(err)
					}
					return !errors.Is(err, ErrAway) && !errors.Is(err, ErrBusy)
				})
				begun = true
			}
			b.broker.deliver(all[message])
			delivered[all[message].Stream] = max(delivered[all[message].Stream], all[message].Version)
		}
		if rapid.Bool().Draw(t, "brokerFirst") {
			for stream, version := range delivered {
				if err := p.Await(t.Context(), eventstore.Position{Log: "test", Epoch: 1, Stream: stream, Version: version}); err != nil {
					t.Fatalf("%v; %+v", err, p.Stats())
				}
			}
		}
		b.log.set(func(l *fakeLog) { l.shown = -1 })
		for stream := range b.log.heads {
			b.await(t, p, stream)
		}
		if begun {
			if last := ended(t, p); last.State != Done {
				t.Fatalf("%+v", last)
			}
		}
		b.wantGeneration(t, b.count(t, `SELECT generation FROM read.projections WHERE name = $1`, b.projection.name))
		mustRebuild(t, p)
		last := ended(t, p)
		if last.State != Done {
			t.Fatalf("%+v", last)
		}
		stop()
		b.wantGeneration(t, last.Generation)
	})
}
