package forwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if !isProcess() {
		goleak.VerifyTestMain(tidy{m})
	}
}

// tidy closes the idle connections to the management API, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

var errBroken = errors.New("broken")

// memory is a log in memory. Its cursors count events; faults are given out
// once each, in order.
type memory struct {
	mu         sync.Mutex
	events     []eventstore.Event
	moved      int // the snapshot moves without events
	checkpoint eventstore.Cursor
	faults     map[string][]error
	leads      int
	leading    bool
	did        chan string // what was done, with the cursor
}

func newMemory(t testing.TB, count int) *memory {
	t.Helper()
	m := &memory{faults: make(map[string][]error), did: make(chan string, 1000)}
	for i := range count {
		id, err := uuid.NewV7()
		require.NoError(t, err)
		m.events = append(m.events, eventstore.Event{ID: id, Stream: "user-1", Version: int64(i) + 1, OccurredAt: time.Now().Add(-time.Hour)})
	}
	return m
}

func (m *memory) fault(of string) error {
	if len(m.faults[of]) == 0 {
		return nil
	}
	err := m.faults[of][0]
	m.faults[of] = m.faults[of][1:]
	return err
}

func (m *memory) Lead(_ context.Context, reader string) (*lead, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("lead"); err != nil {
		return nil, err
	}
	if m.leading || reader != "forwarder" {
		panic("two leads, or the wrong one")
	}
	m.leads, m.leading = m.leads+1, true
	return &lead{m}, nil
}

type lead struct{ *memory }

func (l *lead) Checkpoint(context.Context) (eventstore.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint, l.fault("checkpoint")
}

func (l *lead) Read(_ context.Context, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.did <- "read " + string(after)
	if err := l.fault("read"); err != nil {
		return eventstore.Page{}, err
	}
	at, _, _ := strings.Cut(string(after), "+")
	from, _ := strconv.Atoi(at)
	page := l.events[from:min(from+limit, len(l.events))]
	l.moved++
	return eventstore.Page{
		Events: page,
		Next:   eventstore.Cursor(fmt.Sprintf("%d+%d", from+len(page), l.moved)),
		AtHead: from+len(page) == len(l.events),
	}, nil
}

func (l *lead) Save(_ context.Context, cursor eventstore.Cursor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fault("save"); err != nil {
		return err
	}
	l.checkpoint = cursor
	at, _, _ := strings.Cut(string(cursor), "+")
	l.did <- "save " + at
	return nil
}

func (l *lead) Wait(ctx context.Context, most time.Duration) error {
	l.mu.Lock()
	err := l.fault("wait")
	l.did <- "wait " + most.String()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (l *lead) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading = false
}

// await waits until something was done.
func (m *memory) await(t testing.TB, what string) (before []string) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case did := <-m.did:
			if did == what {
				return before
			}
			before = append(before, did)
		case <-limit:
			t.Fatalf("no %q, only %q", what, before)
		}
	}
}

// pipe is a publisher that keeps what it is given, and fails as told.
type pipe struct {
	mu       sync.Mutex
	faults   []error
	versions []int64 // of what was confirmed
	tried    [][]int64
	calls    chan struct{}
}

func newPipe(faults ...error) *pipe { return &pipe{faults: faults, calls: make(chan struct{}, 1000)} }

func (p *pipe) PublishBatch(_ context.Context, events []eventstore.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.calls <- struct{}{} }()
	versions := make([]int64, len(events))
	for i, event := range events {
		versions[i] = event.Version
	}
	p.tried = append(p.tried, versions)
	if len(p.faults) > 0 {
		err := p.faults[0]
		p.faults = p.faults[1:]
		return err
	}
	p.versions = append(p.versions, versions...)
	return nil
}

// running starts a forwarder, and ends it with the test or by stop.
func running(t testing.TB, f *Forwarder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

func forward(t testing.TB, log *memory, publisher Publisher) (*Forwarder, *logged) {
	t.Helper()
	text := &logged{}
	return New(log, Config{Publisher: publisher, Logger: slog.New(slog.NewTextHandler(text, nil)), Interval: time.Millisecond, Batch: 4}), text
}

type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *logged) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), of)
}

func TestAPageIsSavedOnlyOnceItIsConfirmed(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 10), newPipe(broker.ErrNotConnected, broker.ErrNotConnected)
	f, text := forward(t, log, out)
	running(t, f)

	<-out.calls
	<-out.calls
	log.mu.Lock()
	require.Empty(t, log.checkpoint, "nothing is confirmed yet")
	log.mu.Unlock()
	stats := f.Stats()
	require.True(t, stats.Leading)
	require.ErrorIs(t, stats.Err, broker.ErrNotConnected)
	require.Greater(t, stats.Lag, 50*time.Minute)
	require.Zero(t, stats.Forwarded)

	log.await(t, "save 4")
	require.NotContains(t, log.await(t, "save 8"), "wait 1ms", "behind the head there is nothing to wait for")
	log.await(t, "save 10")
	log.await(t, "wait 1ms")
	stats = f.Stats()
	require.Equal(t, Stats{Leading: true, Forwarded: 10}, stats)
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, out.versions)
	require.Equal(t, 1, text.count("cannot be published"), "once, not once a try")
	require.Equal(t, 1, text.count("forwarding again"))
	require.Equal(t, 1, log.leads, "the lead is kept")
}

func TestOnlyWhatHadNoQueueIsPublishedAgain(t *testing.T) {
	t.Parallel()
	log := newMemory(t, 4)
	out := newPipe(broker.ErrNotConfirmed, fmt.Errorf("publish: %w", &broker.UnroutableError{IDs: []string{log.events[1].ID.String(), log.events[3].ID.String()}}))
	f, text := forward(t, log, out)
	running(t, f)
	log.await(t, "save 4")
	require.Equal(t, [][]int64{{1, 2, 3, 4}, {1, 2, 3, 4}, {2, 4}}, out.tried)
	require.Equal(t, 1, text.count("no queue yet"), "another fault is another state")
	require.EqualValues(t, 4, f.Stats().Forwarded)
}

// unwantedBy is a broker without a queue for some streams.
type unwantedBy struct {
	*pipe
	streams []string
}

func (u unwantedBy) PublishBatch(ctx context.Context, events []eventstore.Event) error {
	var unroutable broker.UnroutableError
	for _, event := range events {
		if slices.Contains(u.streams, event.Stream) {
			unroutable.IDs = append(unroutable.IDs, event.ID.String())
		}
	}
	if err := u.pipe.PublishBatch(ctx, events); err != nil || unroutable.IDs == nil {
		return err
	}
	return fmt.Errorf("publish: %w", &unroutable)
}

// What is not meant for the broker is neither published nor waited for.
func TestWhatStaysInTheLogHoldsNothingUp(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 12), newPipe()
	for _, i := range []int{1, 4, 5, 6, 7} { // one of a page, and all of the next
		log.events[i].Type, log.events[i].Stream = "test.v1.Private", "ghost-1"
	}
	f, text := forward(t, log, unwantedBy{out, []string{"ghost-1"}})
	f.unpublished = []string{"test.v1.Private"}
	running(t, f)
	log.await(t, "save 4")
	log.await(t, "save 8")
	log.await(t, "save 12")
	log.await(t, "wait 1ms")
	out.mu.Lock()
	tried := out.tried
	out.mu.Unlock()
	require.Equal(t, [][]int64{{1, 3, 4}, {9, 10, 11, 12}}, tried)
	require.Equal(t, Stats{Leading: true, Forwarded: 7}, f.Stats())
	require.Zero(t, text.count("queue"))
}

func TestWhatNoQueueWantsIsPassedOverInTheEnd(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 12), newPipe()
	for _, i := range []int{1, 5, 9} {
		log.events[i].Stream = "ghost-1"
	}
	f, text := forward(t, log, unwantedBy{out, []string{"ghost-1"}})
	f.passOver = 300 * time.Millisecond
	began := time.Now()
	running(t, f)
	log.await(t, "save 4")
	require.GreaterOrEqual(t, time.Since(began), f.passOver)
	log.await(t, "save 12")
	log.await(t, "wait 1ms")
	out.mu.Lock()
	tried := out.tried
	out.mu.Unlock()
	require.Equal(t, [][]int64{{5, 6, 7, 8}, {9, 10, 11, 12}}, tried[len(tried)-2:], "a key is waited for once")
	require.Equal(t, Stats{Leading: true, Forwarded: 9, PassedOver: 3}, f.Stats())
	require.Equal(t, 1, text.count("leaving them to the log"))
	require.Equal(t, 1, text.count("no queue yet"))
}

func TestALostLeadIsNoticedWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 1), newPipe(slices.Repeat([]error{broker.ErrNotConnected}, 1000)...)
	log.faults["wait"] = []error{errBroken}
	f, _ := forward(t, log, out)
	running(t, f)
	log.await(t, "read ")
	log.await(t, "read ") // again, though nothing could be published
}

func TestALostLeadIsTakenAgainFromTheCheckpoint(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 8), newPipe()
	log.faults["lead"] = []error{errBroken}
	log.faults["checkpoint"] = []error{errBroken}
	log.faults["save"] = []error{nil, errBroken}
	log.faults["wait"] = []error{errBroken}
	f, text := forward(t, log, out)
	running(t, f)
	log.await(t, "save 4")
	log.await(t, "read 4+1") // after the second page was published and not saved
	log.await(t, "save 8")
	log.await(t, "wait 1ms")
	log.await(t, "wait 1ms")
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8}, out.versions, "some twice, none skipped")
	require.Positive(t, text.count("taking the lead again"))
	require.Equal(t, 4, log.leads)
}

func TestACheckpointOfAnotherEpochBeginsAgain(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{eventstore.ErrEpochChanged, eventstore.ErrCursorInvalid} {
		log, out := newMemory(t, 2), newPipe()
		log.checkpoint = "1"
		log.faults["read"] = []error{refusal}
		f, _ := forward(t, log, out)
		stop := running(t, f)
		log.await(t, "read 1")
		log.await(t, "read ")
		log.await(t, "save 2")
		stop()
		require.Equal(t, []int64{1, 2}, out.versions)
	}
}

func TestACursorThatMovesWithoutEventsIsSavedNowAndThen(t *testing.T) {
	t.Parallel()
	log := newMemory(t, 0)
	f, _ := forward(t, log, newPipe())
	stop := running(t, f)
	for range 20 {
		require.NotContains(t, log.await(t, "wait 1ms"), "save 0")
	}
	stop()

	log = newMemory(t, 0)
	f, _ = forward(t, log, newPipe())
	f.saveInterval = 5 * time.Millisecond
	running(t, f)
	log.await(t, "save 0")
	log.await(t, "save 0")
}

func TestRunGivesTheLeadAwayAtItsEnd(t *testing.T) {
	t.Parallel()
	log := newMemory(t, 1)
	f, _ := forward(t, log, newPipe(errBroken, errBroken, errBroken, errBroken, errBroken, errBroken))
	stop := running(t, f)
	log.await(t, "read ")
	stop() // in the middle of a page that cannot be published
	require.False(t, log.leading)
	require.Empty(t, log.checkpoint)
	require.False(t, f.Stats().Leading)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	f := New(newMemory(t, 0), Config{})
	require.Equal(t, 100*time.Millisecond, f.interval)
	require.Equal(t, 500, f.batch)
}

// What does not get on is told to operators after half a minute, and never as
// down: projections read the log.
func TestOperatorsAreToldWhenEventsDoNotReachTheBroker(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 4), newPipe(slices.Repeat([]error{broker.ErrNotConnected}, 1000)...)
	f, _ := forward(t, log, out)
	stop := running(t, f)
	<-out.calls
	<-out.calls
	stats := f.Stats()
	require.False(t, stats.HeldUpSince.IsZero())
	require.Equal(t, 4, stats.Pending)
	is, problem, err := f.Probe(t.Context())
	require.Equal(t, statusv1.State_STATE_UP, is, "a retry or two is nobody's business: %s, %v", problem, err)
	f.set(func(s *state) { s.heldUp = time.Now().Add(-heldUpFor) })
	is, problem, err = f.Probe(t.Context())
	require.Equal(t, statusv1.State_STATE_DEGRADED, is)
	require.NotEmpty(t, problem)
	require.ErrorIs(t, err, broker.ErrNotConnected)
	stop()

	values := make(map[string]float64)
	f.Metrics("identity")(func(name, help string, value float64, labels ...string) {
		require.NotEmpty(t, help, name)
		require.Equal(t, []string{"log", "identity"}, labels, name)
		values[name] = value
	})
	require.Zero(t, values["muster_forwarder_leading"], "it has ended")
	require.Contains(t, values, "muster_forwarder_lag_seconds")
	require.Greater(t, values["muster_forwarder_held_up_seconds"], 29.0)
}

// A batch that is confirmed is a span of the call that its events came from.
func TestABatchIsASpanOfTheCallThatItCameFrom(t *testing.T) {
	t.Parallel()
	log, out := newMemory(t, 2), newPipe()
	for i := range log.events {
		log.events[i].Log, log.events[i].OccurredAt = "identity", time.Now()
		log.events[i].Metadata.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	}
	recorder := tracetest.NewSpanRecorder()
	f := New(log, Config{
		Publisher: out, Logger: slog.New(slog.DiscardHandler), Interval: time.Millisecond,
		Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
	})
	running(t, f)
	log.await(t, "save 2")
	spans := recorder.Ended()
	require.Len(t, spans, 1)
	require.Equal(t, "publish identity", spans[0].Name())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans[0].SpanContext().TraceID().String())
}
