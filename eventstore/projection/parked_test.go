package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore"
)

// poison makes Apply fail for chosen events until they are cured.
type poison struct {
	events atomic.Pointer[map[string]error]
	tries  atomic.Int64
}

func (p *poison) set(events map[string]error) { p.events.Store(&events) }

func place1(stream string, version int64) string { return fmt.Sprintf("%s %d", stream, version) }

func (b *bench) poisoned(events map[string]error) *poison {
	p := &poison{}
	p.set(events)
	b.projection.before = func(_ context.Context, _ pgx.Tx, batch []eventstore.Opened) error {
		for _, event := range batch {
			if err := (*p.events.Load())[place1(event.Stream, event.Version)]; err != nil {
				p.tries.Add(1)
				return err
			}
		}
		return nil
	}
	return p
}

var errBad = errors.New("it is bad")

func parkedOf(t tester, p *Projector) []Parked {
	t.Helper()
	parked, err := p.Parked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return parked
}

func TestAPoisonEventWaitsWithItsStreamAndAllOthersFlow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(30, 3)
	cure := b.poisoned(map[string]error{place1("user-07", 2): errBad, place1("user-21", 1): errBad})
	p, _ := b.start(t)
	ready(t, p)
	b.fill(30, 1)
	for s := range 30 {
		if s != 7 && s != 21 {
			b.await(t, p, fmt.Sprintf("user-%02d", s))
		}
	}
	if err := p.Await(t.Context(), b.log.position("user-07")); !errors.Is(err, ErrNotApplied) {
		t.Errorf("await what waits: %v", err)
	}
	var parked []Parked
	eventually(t, "all that waits is known", func() bool {
		parked = parkedOf(t, p)
		return len(parked) == 2 && parked[0].Waiting+parked[1].Waiting == 3+4
	})
	for _, one := range parked {
		if one.Stream == "user-07" && one.Version != 2 || one.Stream == "user-21" && one.Version != 1 || one.Generation != 1 || one.Log != "test" ||
			one.Type != counted || one.Attempts < parkAfter || !strings.Contains(one.Problem, "it is bad") {
			t.Errorf("%+v", one)
		}
	}
	eventually(t, "it shows", func() bool { s := p.Stats(); return s.Parked == 2 && !s.OldestParked.IsZero() && s.LagEvents == 0 })
	if rows := b.projection.rows(t, b.pool); rows["user-07"].Events != 1 || rows["user-21"].Events != 0 || rows["user-00"].Events != 4 {
		t.Errorf("%+v", rows)
	}
	shown, event, err := p.ParkedEvent(t.Context(), "user-07")
	if err != nil || shown.Version != 2 || event.Version != 2 || event.Stream != "user-07" || shown.EventID != event.ID {
		t.Errorf("%+v, %+v, %v", shown, event, err)
	}

	// Not mended yet: the same one is parked again, and counted.
	outcome, err := p.Retry(t.Context(), "user-07")
	if err != nil || outcome.Applied != 0 || outcome.Parked == nil || outcome.Parked.Version != 2 || outcome.Parked.Attempts <= shown.Attempts {
		t.Errorf("%+v, %v", outcome, err)
	}
	// The next one behind it fails: what is before it is applied.
	cure.set(map[string]error{place1("user-07", 4): errBad})
	outcome, err = p.Retry(t.Context(), "user-07")
	if err != nil || outcome.Applied != 2 || outcome.Parked == nil || outcome.Parked.Version != 4 || outcome.Parked.Attempts != 1 {
		t.Errorf("%+v, %v", outcome, err)
	}
	cure.set(nil)
	for _, stream := range []string{"user-07", "user-21"} {
		if outcome, err = p.Retry(t.Context(), stream); err != nil || outcome.Parked != nil {
			t.Errorf("%+v, %v", outcome, err)
		}
	}
	b.await(t, p, "user-07", "user-21")
	b.want(t)
	if _, err := p.Retry(t.Context(), "user-07"); !errors.Is(err, ErrNotParked) {
		t.Errorf("retry what does not wait: %v", err)
	}
	if n := b.count(t, `SELECT count(*) FROM read.parked`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestWhatIsAwayIsNeverParked(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"said by the projection": fmt.Errorf("ask: %w", ErrAway),
		"a lock":                 &pgconn.PgError{Code: "55P03"},
		"the server ends":        &pgconn.PgError{Code: "57P01"},
		"a deadlock":             &pgconn.PgError{Code: "40P01"},
		"a missing table":        &pgconn.PgError{Code: "42P01"},
		"a full disk":            &pgconn.PgError{Code: "53100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fill(2, 2)
			cure := b.poisoned(map[string]error{place1("user-01", 2): err})
			p, _ := b.start(t)
			eventually(t, "it was tried often", func() bool { return cure.tries.Load() > 2*parkAfter })
			if parked := parkedOf(t, p); len(parked) != 0 {
				t.Errorf("%+v", parked)
			}
			cure.set(nil)
			b.await(t, p, "user-01")
			b.want(t)
		})
	}
}

func TestWhatTheDatabaseRefusesIsParkedWithoutItsValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(2, 2)
	b.poisoned(map[string]error{place1("user-01", 2): &pgconn.PgError{
		Code: "22P02", Message: `invalid input syntax for type uuid: "canary"`, ConstraintName: "tallies_are_good",
	}})
	p, _ := b.start(t)
	ready(t, p)
	parked := parkedOf(t, p)
	if len(parked) != 1 || strings.Contains(parked[0].Problem, "canary") || !strings.Contains(parked[0].Problem, "22P02, constraint tallies_are_good") {
		t.Errorf("%+v", parked)
	}
}

// A panic would end the process at each start anew.
func TestAnEventThatTheCodePanicsAtIsParked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 2)
	b.projection.before = func(_ context.Context, _ pgx.Tx, batch []eventstore.Opened) error {
		for _, event := range batch {
			if event.Stream == "user-01" && event.Version == 2 {
				panic("canary")
			}
		}
		return nil
	}
	p, _ := b.start(t)
	ready(t, p)
	parked := parkedOf(t, p)
	if len(parked) != 1 || parked[0].Version != 2 || !strings.Contains(parked[0].Problem, "panics in projection.") || strings.Contains(parked[0].Problem, "canary") {
		t.Errorf("%+v", parked)
	}
}

// A skip holds as long as the event cannot be applied, and no longer.
func TestASkippedEventIsLeftOutForAReason(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(3, 3)
	cure := b.poisoned(map[string]error{place1("user-01", 2): errBad})
	p, _ := b.start(t)
	ready(t, p)
	var other *OtherParkedError
	if _, err := p.Skip(t.Context(), "user-01", 3, "of no use", "user-9"); !errors.As(err, &other) || other.Version != 2 {
		t.Errorf("skip another event than the parked one: %v", err)
	}
	outcome, err := p.Skip(t.Context(), "user-01", 2, "of no use", "user-9")
	if err != nil || outcome.Applied != 1 || outcome.Parked != nil {
		t.Fatalf("%+v, %v", outcome, err)
	}
	b.await(t, p, "user-01")
	left := b.log.all()
	var without []eventstore.Event
	for _, event := range left {
		if event.Stream != "user-01" || event.Version != 2 {
			without = append(without, event)
		}
	}
	b.wantFold(t, without)
	skipped, err := p.Skipped(t.Context())
	if err != nil || len(skipped) != 1 {
		t.Fatalf("%+v, %v", skipped, err)
	}
	if s := skipped[0]; s.Log != "test" || s.Stream != "user-01" || s.Version != 2 || s.Type != counted || s.By != "user-9" || s.Reason != "of no use" || time.Since(s.At) > time.Hour {
		t.Errorf("what is kept of it: %+v", s)
	}
	// A rebuild leaves it out again, without parking …
	rebuilt(t, p)
	if got := b.projection.rowsOf(t, b.pool, 2); got["user-01"].Events != 2 || len(parkedOf(t, p)) != 0 {
		t.Errorf("%+v", got)
	}
	// … and takes it in once it can be applied.
	cure.set(nil)
	rebuilt(t, p)
	b.wantGeneration(t, 3)
}

// What was mended or left out while other rows served is so in those that serve
// again.
func TestARollbackTriesWhatWaitsInTheFormerRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(4, 2)
	cure := b.poisoned(map[string]error{place1("user-01", 2): errBad, place1("user-02", 2): errBad})
	p, _ := b.start(t)
	ready(t, p)
	rebuilt(t, p)
	b.fill(4, 1)
	b.await(t, p, "user-00", "user-03")
	cure.set(map[string]error{place1("user-02", 2): errBad})
	if outcome, err := p.Retry(t.Context(), "user-01"); err != nil || outcome.Parked != nil {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if outcome, err := p.Skip(t.Context(), "user-02", 2, "of no use", "user-9"); err != nil || outcome.Parked != nil {
		t.Fatalf("%+v, %v", outcome, err)
	}
	served := b.projection.rowsOf(t, b.pool, 2)
	if _, err := p.Rollback(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if again := b.projection.rowsOf(t, b.pool, 1); !maps.Equal(again, served) {
		t.Errorf("%+v serves again, %+v did", again, served)
	}
	if parked := parkedOf(t, p); len(parked) != 0 {
		t.Errorf("%+v", parked)
	}
}

// Rows that lack somebody whom the present ones have do not take their place.
func TestARebuildThatParksWhatServesIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(10, 3)
	cure := b.poisoned(nil)
	p, _ := b.start(t)
	ready(t, p)
	cure.set(map[string]error{place1("user-03", 2): errBad})
	mustRebuild(t, p)
	done := ended(t, p)
	if done.State != Failed || !strings.Contains(done.Problem, "1 streams") || !strings.Contains(done.Problem, "version 2 of user-03") {
		t.Errorf("%+v", done)
	}
	eventually(t, "nothing is left", func() bool { return states(t, p) == "1 serving" })
	b.wantNothingOf(t, 2)
	b.want(t)
}

// A message claims an epoch that the log does not have: the log will say so itself.
func TestAMessageOfAnEpochThatIsNotIsNotBelieved(t *testing.T) {
	t.Parallel()
	b, p, _ := brokered(t)
	forged := b.log.append("user-1", counted)
	forged.Epoch = 99
	b.broker.deliver(forged)
	b.log.set(func(l *fakeLog) { l.shown = -1 })
	b.await(t, p, "user-1")
	b.want(t)
	if overview, err := p.Overview(t.Context()); err != nil || overview.Operation != nil {
		t.Errorf("%+v, %v", overview.Operation, err)
	}
}

type knowing struct{ plain }

func (knowing) Known(eventType string) bool { return eventType == counted }

// An event of a type that nobody knows is applied as one that is not needed, and
// told.
func TestAnEventOfAnUnknownTypeIsToldAndStopsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	b.log.append("user-1", "test.Newer")
	b.log.append("user-1", counted)
	config := Config{Pool: b.pool, Log: "test", Projection: b.projection, Codec: knowing{}, Source: b.log, Logger: b.projector().logger}
	p := New(config)
	launch(t, p)
	if line := b.lines.next(t, "does not know"); !strings.Contains(line, "test.Newer") {
		t.Error(line)
	}
	ready(t, p)
	b.want(t)
	if got := p.Stats().Unknown; len(got) != 1 || got["test.Newer"] != 1 {
		t.Errorf("%v", got)
	}
}

// What lags is told while it lags, also when nothing gets on.
func TestLagTellsTheTruth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fill(10, 1)
	inside, leave := make(chan struct{}, 100), make(chan struct{})
	b.projection.before = func(context.Context, pgx.Tx, []eventstore.Opened) error {
		inside <- struct{}{}
		<-leave
		return nil
	}
	b.log.small = 4
	p, _ := b.start(t)
	<-inside
	stats := p.Stats()
	if stats.LagEvents != 10 || stats.Lag <= 0 {
		t.Errorf("before anything is applied: %+v", stats)
	}
	leave <- struct{}{}
	<-inside
	if next := p.Stats(); next.LagEvents != 6 {
		t.Errorf("after the first page: %+v", next)
	}
	if later := p.Stats(); later.Lag <= stats.Lag {
		t.Errorf("the lag does not grow: %v after %v", later.Lag, stats.Lag)
	}
	close(leave)
	ready(t, p)
	eventually(t, "there is no lag", func() bool { s := p.Stats(); return s.LagEvents == 0 && s.Lag == 0 })
	b.log.set(func(l *fakeLog) { l.away = errors.New("no route") })
	eventually(t, "a log that cannot be read is a lag", func() bool { return p.Stats().Lag > 0 })
}
