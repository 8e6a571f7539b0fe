package projection

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

// idle is a projector whose steps the test takes itself, with a rebuild begun.
func (b *bench) idle(t *testing.T) *Projector {
	t.Helper()
	p := b.projector()
	if _, _, ok := p.begin(t.Context()); !ok {
		t.Fatal("not begun")
	}
	if err := p.store.adoptEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	mustRebuild(t, p)
	return p
}

func (b *bench) exec(t tester, statement string, arguments ...any) {
	t.Helper()
	if _, err := b.pool.Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

func leased(t *testing.T, p *Projector, generation int64) *feeding {
	t.Helper()
	f, err := p.store.lease(t.Context(), generation)
	if err != nil || f == nil {
		t.Fatalf("lease: %v, %v", f, err)
	}
	return f
}

// taken is a second lease on what a process has slept over.
func (b *bench) taken(t *testing.T, p *Projector, generation int64) *feeding {
	t.Helper()
	b.exec(t, `UPDATE read.generations SET leased_until = now() - interval '1 second' WHERE generation = $1`, generation)
	return leased(t, p, generation)
}

// A process that has slept finds the lease free, and takes it again, while what
// it did before the sleep goes on.
func TestALeaseKeepsItsOwnProcessAwayToo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 4)
	p := b.idle(t)
	slept := leased(t, p, 2)
	awake := b.taken(t, p, 2)
	if err := p.feedAll(t.Context(), awake, false); err != nil {
		t.Fatal(err)
	}
	if err := p.feedAll(t.Context(), slept, false); !errors.Is(err, errMoved) {
		t.Errorf("under the lease before: %v", err)
	}
	b.wantGeneration(t, 2)
}

// A page that is applied in parts leaves the cursor in front of it.
func TestWhatAKilledProcessHasAppliedOfAPageIsNotAppliedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(8, 2)
	cure := &poison{}
	cure.set(map[string]error{place1("user-03", 2): errBad})
	b.projection.beforeIn = func(ctx context.Context, generation int64, events []eventstore.Opened) error {
		for _, event := range events {
			err := (*cure.events.Load())[place1(event.Stream, event.Version)]
			if generation == 2 && err != nil {
				if len(events) == 1 { // the others are applied, and the process is killed
					<-ctx.Done()
				}
				return err
			}
		}
		return nil
	}
	p, stop := b.start(t)
	ready(t, p)
	mustRebuild(t, p)
	eventually(t, "a part is applied", func() bool {
		return b.count(t, `SELECT count(*) FROM read.tallies WHERE generation = 2`) > 0
	})
	stop()
	if n := b.count(t, `SELECT count(*) FROM read.generations WHERE generation = 2 AND cursor = ''`); n != 1 {
		t.Fatal("the page was whole before the process ended")
	}
	cure.set(nil)
	q, _ := b.start(t)
	if done := ended(t, q); done.State != Done {
		t.Errorf("%+v", done)
	}
	b.wantGeneration(t, 2)
}

// A transaction without an answer may end after the look that its successor takes.
func TestVersionsOfAFedGenerationAreThoseUnderTheLock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 2)
	p := b.idle(t)
	f := leased(t, p, 2)
	if err := p.store.adoptGenerationEpoch(t.Context(), f, 1); err != nil {
		t.Fatal(err)
	}
	events := inOrder(b.log.all())
	at, err := p.lookFor(t.Context(), f, events, true)
	if err != nil {
		t.Fatal(err)
	}
	runs, _, _, err := p.fill(t.Context(), at, events)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.put(t.Context(), at, change{runs: runs}); err != nil {
			t.Fatal(err)
		}
	}
	b.wantGeneration(t, 2)
}

func TestOnlyWhoeverHasTheLeaseStartsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.idle(t)
	slept := leased(t, p, 2)
	awake := b.taken(t, p, 2)
	if err := p.startOver(t.Context(), awake); err != nil {
		t.Fatal(err)
	}
	if err := p.startOver(t.Context(), slept); !errors.Is(err, errMoved) {
		t.Errorf("start over: %v", err)
	}
	if got := states(t, p); got != "1 serving, 2 dropping, 3 building" {
		t.Errorf("generations: %s", got)
	}
}

func TestOnlyWhoeverHasTheLeaseEndsAnOperation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.idle(t)
	slept := leased(t, p, 2)
	b.taken(t, p, 2)
	if err := p.finish(t.Context(), slept, Failed, "it slept", nil); !errors.Is(err, errMoved) {
		t.Errorf("finish: %v", err)
	}
	if got := states(t, p); got != "1 serving, 2 building" {
		t.Errorf("generations: %s", got)
	}
}

// In tables that were made anew, the rows of its number are others.
func TestOnlyWhoeverHasTheLeaseDeletes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 2)
	p := b.idle(t)
	if err := p.feedAll(t.Context(), leased(t, p, 2), false); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `UPDATE read.generations SET state = 'dropping', worker = NULL, leased_until = NULL WHERE generation = 2`)
	slept := leased(t, p, 2)
	b.exec(t, `UPDATE read.generations SET state = 'building', worker = NULL WHERE generation = 2`)
	if err := p.deleteGeneration(t.Context(), slept); !errors.Is(err, errMoved) {
		t.Errorf("delete: %v", err)
	}
	b.wantGeneration(t, 2)
}

// aboutToReturn gives a projector that does not run, whose generation 1 is to
// serve again in place of 2.
func (b *bench) aboutToReturn(t *testing.T) *Projector {
	t.Helper()
	p, stop := b.start(t)
	ready(t, p)
	rebuilt(t, p)
	stop()
	b.exec(t, `UPDATE read.generations SET state = 'returning', worker = NULL, leased_until = NULL WHERE generation = 1`)
	return p
}

// Whoever asked for it was told that it does not come back.
func TestAFormerGenerationThatIsToStayIsNotSwappedIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(2, 2)
	p := b.aboutToReturn(t)
	f := leased(t, p, 1)
	b.exec(t, `UPDATE read.generations SET state = 'former' WHERE generation = 1`)
	if done, err := p.swap(t.Context(), f); done || !errors.Is(err, errMoved) {
		t.Errorf("swap: %t, %v", done, err)
	}
	if got := states(t, p); got != "1 former, 2 serving" {
		t.Errorf("generations: %s", got)
	}
}

// A rebuild may begin while a former generation is about to return.
func TestWhatWasToReturnGoesWhenAnotherGenerationServesFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(2, 2)
	p := b.aboutToReturn(t)
	mustRebuild(t, p)
	if done, err := p.swap(t.Context(), leased(t, p, 3)); !done || err != nil {
		t.Fatalf("swap: %t, %v", done, err)
	}
	if got := states(t, p); got != "1 dropping, 2 former, 3 serving" {
		t.Errorf("generations: %s", got)
	}
}

// A stream that waits in both, but sooner in the new rows, would lose what the
// present ones have.
func TestARebuildThatParksAStreamSoonerIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 3)
	cure := b.poisoned(map[string]error{place1("user-03", 3): errBad})
	p, _ := b.start(t)
	ready(t, p)
	mustRebuild(t, p)
	if done := ended(t, p); done.State != Done {
		t.Errorf("it waits in both: %+v", done)
	}
	cure.set(map[string]error{place1("user-03", 2): errBad})
	mustRebuild(t, p)
	if done := ended(t, p); done.State != Failed || !strings.Contains(done.Problem, "version 2 of user-03") {
		t.Errorf("%+v", done)
	}
}

// parking parks an event as a process does whose look is of now.
func (b *bench) parking(t *testing.T, p *Projector, stream string, version int64) (at place, r run) {
	t.Helper()
	at, err := p.store.lookup(t.Context(), []string{stream})
	if err != nil {
		t.Fatal(err)
	}
	events, err := p.readGap(t.Context(), 1, stream, version, batchLimit)
	if err != nil {
		t.Fatal(err)
	}
	r = run{stream, events}
	if err := p.park(t.Context(), at, []suspect{{r, errBad}}, 1); err != nil {
		t.Fatal(err)
	}
	return at, r
}

// Else the stream would wait for ever, with nothing that it waits for.
func TestWhatAnotherProcessHasParkedIsNotAppliedBesideIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(1, 1)
	p := b.idle(t)
	before, r := b.parking(t, p, "user-00", 1)
	if err := p.put(t.Context(), before, change{runs: []run{r}}); !errors.Is(err, errMoved) {
		t.Errorf("after it was parked: %v", err)
	}
	if outcome, err := p.Retry(t.Context(), "user-00"); err != nil || outcome.Applied != 1 {
		t.Errorf("%+v, %v", outcome, err)
	}
	b.want(t)
	if n := b.count(t, `SELECT count(*) FROM read.parked`); n != 0 {
		t.Errorf("%d streams wait", n)
	}
}

// What fails behind a parked event may have been left out before.
func TestRetryPassesWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(1, 2)
	p := b.idle(t)
	b.poisoned(map[string]error{place1("user-00", 2): errBad})
	_, r := b.parking(t, p, "user-00", 1)
	b.exec(t, `INSERT INTO read.skipped VALUES ('tallies', 'user-00', 2, $1, 'x', 'of no use', 'user-9', now())`, r.events[1].ID)
	outcome, err := p.Retry(t.Context(), "user-00")
	if err != nil || outcome.Applied != 1 || outcome.Parked != nil {
		t.Errorf("%+v, %v", outcome, err)
	}
	if parked := parkedOf(t, p); len(parked) != 0 {
		t.Errorf("%+v", parked)
	}
}

// In a new epoch a version may belong to another event.
func TestASkipIsOfOneEventNotOfItsVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(1, 1)
	p := b.idle(t)
	b.exec(t, `INSERT INTO read.skipped VALUES ('tallies', 'user-00', 1, $1, 'x', 'of no use', 'user-9', now())`, uuid.New())
	b.parking(t, p, "user-00", 1)
	if parked := parkedOf(t, p); len(parked) != 1 {
		t.Errorf("%+v", parked)
	}
}

func TestALeaseIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	p := newBench(t).idle(t)
	leased(t, p, 2)
	if second, err := p.store.lease(t.Context(), 2); second != nil || err != nil {
		t.Errorf("a second lease: %+v, %v", second, err)
	}
}

// Tables that are made anew between the look and the lock are others, though the
// generation and the epoch are the same.
func TestNothingIsAppliedToTablesThatWereMadeAnewSinceTheLook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(1, 1)
	p := b.idle(t)
	at, err := p.store.lookup(t.Context(), []string{"user-00"})
	if err != nil {
		t.Fatal(err)
	}
	b.exec(t, `UPDATE read.projections SET incarnation = gen_random_uuid()`)
	if err := p.put(t.Context(), at, change{runs: []run{{"user-00", b.log.all()}}}); !errors.Is(err, errMoved) {
		t.Errorf("put: %v", err)
	}
}
