package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/muster-id/muster/eventstore"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// A projection is down when events wait for half a minute, not when it is
// retrying, and not when there is nothing to do.
func TestWhatOperatorsAreTold(t *testing.T) {
	t.Parallel()
	now := time.Now()
	secret := "connect to db.internal as muster: refused"
	for name, test := range map[string]struct {
		stats   Stats
		want    statusv1.State
		problem string
	}{
		"nothing to do":                 {Stats{State: Live}, statusv1.State_STATE_UP, ""},
		"catching up":                   {Stats{State: CatchingUp}, statusv1.State_STATE_DEGRADED, "catches up"},
		"a batch for a moment":          {Stats{State: Live, HeldUpSince: now.Add(-time.Second), HeldUp: unapplied}, statusv1.State_STATE_UP, ""},
		"a batch for half a minute":     {Stats{State: Live, HeldUpSince: now.Add(-HeldUpFor), HeldUp: unapplied}, statusv1.State_STATE_DOWN, unapplied},
		"retrying":                      {Stats{State: Failing, HeldUpSince: now.Add(-time.Second), HeldUp: unapplied, LastError: secret}, statusv1.State_STATE_UP, ""},
		"failing":                       {Stats{State: Failing, HeldUpSince: now.Add(-time.Hour), HeldUp: unapplied, LastError: secret}, statusv1.State_STATE_DOWN, unapplied},
		"no log, and no broker":         {Stats{State: Live, HeldUpSince: now.Add(-time.Hour), HeldUp: unread, LastError: secret}, statusv1.State_STATE_DOWN, unread},
		"no log, but the broker":        {Stats{State: Live, HeldUpSince: now.Add(-time.Hour), HeldUp: unread, BrokerDelivers: true}, statusv1.State_STATE_DEGRADED, unread},
		"a new epoch":                   {Stats{State: RebuildNeeded, LastError: secret}, statusv1.State_STATE_DOWN, "made anew"},
		"a stream waits":                {Stats{State: Live, Parked: 2}, statusv1.State_STATE_DEGRADED, "cannot be applied: 2"},
		"no log from the very start on": {Stats{State: CatchingUp, HeldUpSince: now.Add(-time.Hour), HeldUp: unread}, statusv1.State_STATE_DOWN, unread},
	} {
		state, problem, err := test.stats.probe(now)
		if state != test.want || !strings.Contains(problem, test.problem) || (problem == "") != (state == statusv1.State_STATE_UP) {
			t.Errorf("%s: %v, %q", name, state, problem)
		}
		if strings.Contains(problem, "db.internal") {
			t.Errorf("%s: %q names an address", name, problem)
		}
		if state == statusv1.State_STATE_DOWN && test.stats.LastError != "" && err == nil {
			t.Errorf("%s: the log is not told why", name)
		}
	}
}

// Work that does not get on is seen as long as it does not, and no longer.
func TestWhatIsHeldUpShowsUntilItGetsOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	entered, release := make(chan struct{}), make(chan error)
	b.projection.before = func(context.Context, pgx.Tx, []eventstore.Opened) error {
		entered <- struct{}{}
		return <-release
	}
	p, _ := b.start(t)
	ready(t, p)
	if stats := p.Stats(); !stats.HeldUpSince.IsZero() || stats.Pending != 0 {
		t.Errorf("with nothing to do: %+v", stats)
	}
	b.log.append("user-1", counted)
	<-entered
	first := p.Stats()
	if first.HeldUpSince.IsZero() || first.HeldUp != unapplied || first.Pending != 1 {
		t.Errorf("inside the transaction: %+v", first)
	}
	release <- fmt.Errorf("no: %w", ErrAway)
	<-entered
	if second := p.Stats(); second.State != Failing || !second.HeldUpSince.Equal(first.HeldUpSince) {
		t.Errorf("in the second go: %+v, since %v", second, first.HeldUpSince)
	}
	release <- nil
	b.await(t, p, "user-1")
	b.log.append("user-1", counted) // the batch before it is over when this one comes
	<-entered
	if third := p.Stats(); third.State != Live || third.Batches < 1 || third.Generation != 1 || !third.HeldUpSince.After(first.HeldUpSince) {
		t.Errorf("in the next batch: %+v", third)
	}
	release <- nil
	b.await(t, p, "user-1")
}

// At the head of the log empty pages come all the time.
func TestAnEmptyPageIsNothingThatDoesNotGetOn(t *testing.T) {
	t.Parallel()
	s := &status{}
	s.took(0)
	if stats := s.stats(); !stats.HeldUpSince.IsZero() {
		t.Errorf("%+v", stats)
	}
	s.settled()
	if stats := s.stats(); stats.Batches != 0 {
		t.Errorf("%+v", stats)
	}
}

// A log that cannot be read is seen, also when nothing else is the matter.
func TestALogThatCannotBeReadShows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.away = errors.New("no route")
	p, _ := b.start(t)
	b.lines.next(t, "held up")
	if stats := p.Stats(); stats.HeldUp != unread || stats.HeldUpSince.IsZero() {
		t.Errorf("away: %+v", stats)
	}
	b.log.set(func(l *fakeLog) { l.away = nil })
	ready(t, p)
	if stats := p.Stats(); stats.HeldUp == unread {
		t.Errorf("back: %+v", stats)
	}
}

// The rows that a call led to are a span of its trace.
func TestABatchIsASpanOfTheCallThatItCameFrom(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	recorder := tracetest.NewSpanRecorder()
	b.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	b.log.append("user-1", counted)
	b.log.events[0].Metadata.TraceParent = parent
	p, stop := b.start(t)
	ready(t, p)
	b.await(t, p, "user-1")
	stop() // the span is made after the commit
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Name() != "apply tallies" || spans[0].SpanContext().TraceID().String() != strings.Split(parent, "-")[1] {
		t.Errorf("%v", spans)
	}
	for _, attribute := range spans[0].Attributes() {
		if strings.Contains(attribute.Value.String(), "user-1") {
			t.Errorf("a span names a person: %v", attribute)
		}
	}
}

// The metrics bear the projection's name, and nothing of an event.
func TestMetricsOfAProjection(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		b.log.append("user-1", counted)
	}
	p, stop := b.start(t)
	ready(t, p)
	stop()
	values := make(map[string]float64)
	p.Metrics(func(name, help string, value float64, labels ...string) {
		if help == "" || len(labels) != 2 || labels[0] != "projection" || labels[1] != "tallies" {
			t.Errorf("%s: help %q, labels %q", name, help, labels)
		}
		values[name] = value
	})
	for name, want := range map[string]float64{
		"muster_projection_applied_total": 3, "muster_projection_live": 1, "muster_projection_failing": 0,
		"muster_projection_generation": 1, "muster_projection_pending_events": 0, "muster_projection_held_up_seconds": 0,
	} {
		if got, given := values[name]; !given || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
