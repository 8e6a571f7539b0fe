package forwarder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/internal/tracing"
)

const (
	// reader is the name that the checkpoint and the lead are kept under.
	reader = "forwarder"
	// defaultInterval and defaultBatch: see Config.
	defaultInterval = 100 * time.Millisecond
	defaultBatch    = 500
	// saveInterval is how often a cursor is saved that moved without events. One
	// that is old makes the first tick after a restart larger, nothing else.
	saveInterval = 10 * time.Second
	// passOver is how long a routing key may be without a queue before its events
	// are left to the tails of the projections.
	passOver = 5 * time.Second
)

// Leadership is the right to be the one that forwards a log, and what comes
// with it. Any error of it means that it may be lost.
type Leadership interface {
	// Checkpoint is the last cursor saved; empty for none.
	Checkpoint(ctx context.Context) (eventstore.Cursor, error)
	// Read gives at most limit events after the cursor, and does not wait.
	Read(ctx context.Context, after eventstore.Cursor, limit int) (eventstore.Page, error)
	// Save keeps a cursor, as long as the lead is held.
	Save(ctx context.Context, cursor eventstore.Cursor) error
	// Wait returns when there may be events, and after at most that time.
	Wait(ctx context.Context, atMost time.Duration) error
	// Close gives the lead away.
	Close()
}

// Log is a log that one reader of a name at a time can lead. Lead waits for it.
type Log[L Leadership] interface {
	Lead(ctx context.Context, reader string) (L, error)
}

// Publisher publishes events in order and returns when all of them are stored.
type Publisher interface {
	PublishBatch(ctx context.Context, events []eventstore.Event) error
}

// Config of a forwarder.
type Config struct {
	// Publisher takes the events.
	Publisher Publisher
	// Logger is told of each change of state, once.
	Logger *slog.Logger
	// Interval between two looks at the log when nothing wakes it; 100 ms where 0.
	Interval time.Duration
	// Batch is how many events are read and published at once; 500 where 0.
	Batch int
	// Unpublished are types of events that nobody is meant to get from the broker:
	// they stay in the log. Else the first of them would wait for a queue.
	Unpublished []string
	// Tracers makes a span of each batch in the traces that its events came from;
	// nil for none.
	Tracers trace.TracerProvider
}

// Forwarder carries a log to the broker.
type Forwarder struct {
	lead         func(context.Context) (Leadership, error)
	publisher    Publisher
	logger       *slog.Logger
	tracers      trace.TracerProvider
	interval     time.Duration
	batch        int
	unpublished  []string
	saveInterval time.Duration
	passOver     time.Duration
	// unwanted are the routing keys without a queue, as this lead has found them.
	unwanted map[string]*unwanted

	mu    sync.Mutex
	state state
}

// unwanted is what is known of a routing key without a queue.
type unwanted struct {
	since time.Time
	told  bool // that its events are passed over
}

type state struct {
	leading   bool
	forwarded int64
	passed    int64
	pending   int       // events that are read and not confirmed
	heldUp    time.Time // since when it does not get on; zero when it does
	oldest    time.Time // of what is read and not confirmed; zero for nothing
	fault     string    // what was logged last; empty when all is well
	err       error
}

// Stats is how a forwarder is doing.
type Stats struct {
	// Leading tells whether this process is the one that forwards.
	Leading bool
	// Forwarded counts the events that the broker has confirmed since the start.
	Forwarded int64
	// PassedOver counts the events that no queue wanted for 5 seconds. The
	// broker has not got them; projections read them from the log.
	PassedOver int64
	// Lag is the age of the oldest event that was read and is not confirmed; 0
	// when there is none.
	Lag time.Duration
	// Err is why it does not get on at present; nil when it does.
	Err error
	// Pending counts the events that were read and are not confirmed.
	Pending int
	// HeldUpSince is since when it does not get on; zero when it does.
	HeldUpSince time.Time
}

// New makes a forwarder of a log.
func New[L Leadership](log Log[L], config Config) *Forwarder {
	f := &Forwarder{
		lead: func(ctx context.Context) (Leadership, error) {
			leadership, err := log.Lead(ctx, reader)
			if err != nil {
				return nil, err // not a nil inside an interface
			}
			return leadership, nil
		},
		publisher:    config.Publisher,
		logger:       config.Logger,
		tracers:      config.Tracers,
		interval:     config.Interval,
		batch:        config.Batch,
		unpublished:  config.Unpublished,
		saveInterval: saveInterval,
		passOver:     passOver,
	}
	if f.interval == 0 {
		f.interval = defaultInterval
	}
	if f.batch == 0 {
		f.batch = defaultBatch
	}
	return f
}

// Run forwards until ctx ends, through every fault of the log and the broker.
// It returns nil.
func (f *Forwarder) Run(ctx context.Context) error {
	var retry backoff.Backoff
	for {
		since := time.Now()
		err := f.follow(ctx)
		f.set(func(s *state) { s.leading, s.oldest, s.pending = false, time.Time{}, 0 })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to end
		}
		f.failed("not forwarding, taking the lead again", err)
		retry.Worked(since)
		if retry.Pause(ctx) != nil {
			return nil //nolint:nilerr // told to end
		}
	}
}

// Stats tells how it is doing.
func (f *Forwarder) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := Stats{
		Leading: f.state.leading, Forwarded: f.state.forwarded, PassedOver: f.state.passed, Err: f.state.err,
		Pending: f.state.pending, HeldUpSince: f.state.heldUp,
	}
	if !f.state.oldest.IsZero() {
		stats.Lag = time.Since(f.state.oldest)
	}
	return stats
}

// follow takes the lead and forwards from the checkpoint on until that is lost.
func (f *Forwarder) follow(ctx context.Context) error {
	leadership, err := f.lead(ctx)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	defer leadership.Close()
	saved, err := leadership.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	f.set(func(s *state) { s.leading = true })
	f.unwanted = make(map[string]*unwanted)
	cursor, savedAt := saved, time.Now()
	for {
		page, err := leadership.Read(ctx, cursor, f.batch)
		if cursor != "" && (errors.Is(err, eventstore.ErrEpochChanged) || errors.Is(err, eventstore.ErrCursorInvalid)) {
			f.logger.Warn("the checkpoint is of another time, forwarding from the beginning", slog.Any("error", err))
			cursor = ""
			continue
		}
		if err != nil {
			return fmt.Errorf("forward: %w", err)
		}
		if wanted := f.wanted(page.Events); len(wanted) > 0 {
			if err := f.publish(ctx, leadership, wanted); err != nil {
				return err
			}
		}
		cursor = page.Next
		if len(page.Events) > 0 || cursor != saved && time.Since(savedAt) >= f.saveInterval {
			if err := leadership.Save(ctx, cursor); err != nil {
				return fmt.Errorf("forward: %w", err)
			}
			saved, savedAt = cursor, time.Now()
		}
		f.recovered()
		if page.AtHead {
			if err := leadership.Wait(ctx, f.interval); err != nil {
				return fmt.Errorf("forward: %w", err)
			}
		}
	}
}

// wanted are the events that are for the broker.
func (f *Forwarder) wanted(events []eventstore.Event) []eventstore.Event {
	stays := func(event eventstore.Event) bool { return slices.Contains(f.unpublished, event.Type) }
	if !slices.ContainsFunc(events, stays) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), stays)
}

// publish tries until every event is confirmed or passed over, the lead is lost,
// or ctx ends. The checkpoint stays as it is meanwhile, and the projections read
// the log.
func (f *Forwarder) publish(ctx context.Context, leadership Leadership, events []eventstore.Event) error {
	f.set(func(s *state) { s.oldest, s.pending = events[0].OccurredAt, len(events) })
	began, batch := time.Now(), events
	var retry backoff.Backoff
	for {
		err := f.publisher.PublishBatch(ctx, events)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var unroutable *broker.UnroutableError
		switch {
		case err == nil:
			events = f.settle(events, nil)
		case errors.As(err, &unroutable):
			if events = f.settle(events, unroutable.IDs); len(events) > 0 {
				f.failed("events have no queue yet, trying again for a while", err)
			}
		default:
			f.failed("events cannot be published, trying again until they can", err)
		}
		if len(events) == 0 {
			f.set(func(s *state) { s.oldest, s.pending = time.Time{}, 0 })
			tracing.Record(f.tracers, "publish "+batch[0].Log, trace.SpanKindProducer, began, batch, attribute.String("muster.log", batch[0].Log))
			return nil
		}
		if err := wait(ctx, leadership, retry.Next()); err != nil {
			return fmt.Errorf("forward: %w", err)
		}
	}
}

// settle counts the events that have arrived, all but those returned, and those
// that are passed over since nobody has wanted their like for long. It gives
// what is left to publish: a key without a queue neither publishes the others
// over and over nor holds back for ever what comes behind it.
func (f *Forwarder) settle(events []eventstore.Event, returned []string) (left []eventstore.Event) {
	var forwarded, passed int64
	for _, event := range events {
		key := broker.RoutingKey(event)
		if !slices.Contains(returned, event.ID.String()) {
			delete(f.unwanted, key)
			forwarded++
			continue
		}
		known := f.unwanted[key]
		if known == nil {
			known = &unwanted{since: time.Now()}
			f.unwanted[key] = known
		}
		if time.Since(known.since) < f.passOver {
			left = append(left, event)
			continue
		}
		passed++
		if !known.told {
			known.told = true
			f.logger.Warn("no queue wants these events, leaving them to the log", slog.String("routingKey", key))
		}
	}
	f.set(func(s *state) {
		s.forwarded, s.passed, s.pending = s.forwarded+forwarded, s.passed+passed, len(left)
	})
	return left
}

// wait waits that long on the lead's connection: so its notifications do not
// gather through an outage of the broker, and a lost lead is noticed.
func wait(ctx context.Context, leadership Leadership, d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until); {
		if err := leadership.Wait(ctx, time.Until(until)); err != nil {
			return err
		}
	}
	return nil
}

func (f *Forwarder) set(change func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

// failed notes why it does not get on, and logs what was not so before.
func (f *Forwarder) failed(what string, err error) {
	var known bool
	f.set(func(s *state) {
		known, s.fault, s.err = s.fault == what, what, err
		if s.heldUp.IsZero() {
			s.heldUp = time.Now()
		}
	})
	if !known {
		f.logger.Warn(what, slog.Any("error", err))
	}
}

func (f *Forwarder) recovered() {
	var failed bool
	f.set(func(s *state) { failed, s.fault, s.err, s.heldUp = s.fault != "", "", nil, time.Time{} })
	if failed {
		f.logger.Info("forwarding again")
	}
}
