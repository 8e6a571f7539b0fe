package projection

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/backoff"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the goose migrations of the tables that every projection
// shares, at the root of the file system: schema read, part "projection_".
var Migrations, _ = fs.Sub(migrations, "migrations") // fails for an invalid path only

// Projection is what a service makes of the events.
type Projection interface {
	// Name is its key in the database, for example "access".
	Name() string
	// Handles tells whether events of a type change rows. The others are not
	// opened, but count as applied.
	Handles(eventType string) bool
	// Apply changes rows of the generation, inside tx and nowhere else. The
	// events are sorted by stream and version; each is given once, but again
	// when tx fails. An error takes back the whole batch, which is tried again.
	Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error
}

// Decoder opens events; eventstore.Codec is one.
type Decoder interface {
	// Decode opens events, in their order, fetching all their keys in one call.
	Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error)
}

// Source is the log: the whole of it for the tail, one stream for a gap.
type Source interface {
	eventstore.LogReader
	eventstore.StreamReader
}

// Config of a Projector.
type Config struct {
	// Pool of the database that holds the rows.
	Pool *pgxpool.Pool
	// Log is the name of the log that is followed.
	Log string
	// Projection applies the events.
	Projection Projection
	// Codec opens them.
	Codec Decoder
	// Source is the log itself.
	Source Source
	// Subscriber is the broker; nil leaves everything to the tail. Its Nack has
	// to put a message aside for good, as that of package broker does.
	Subscriber message.Subscriber
	// Queue is the broker's queue of this projection.
	Queue string
	// Decode reads a broker's message. Needed with Subscriber.
	Decode func(*message.Message) (eventstore.Event, error)
	// Logger gets a line when something begins or ceases to fail.
	Logger *slog.Logger
	// Tracers makes a span of each batch in the traces that its events came from;
	// nil for none.
	Tracers trace.TracerProvider
}

// Projector runs one projection.
type Projector struct {
	pool       *pgxpool.Pool
	log        string
	projection Projection
	codec      Decoder
	source     Source
	subscriber message.Subscriber
	topic      string
	decode     func(*message.Message) (eventstore.Event, error)
	logger     *slog.Logger
	tracers    trace.TracerProvider

	store    *store
	queue    chan work
	caughtUp chan struct{}
	status   *status
	waiters  *waiters
	// brokerInTime is when the broker last brought a fresh event, in Unix nanoseconds.
	brokerInTime atomic.Int64
}

// New makes a Projector; it does nothing before Run.
func New(config Config) *Projector {
	logger := config.Logger.With("projection", config.Projection.Name())
	return &Projector{
		pool:       config.Pool,
		log:        config.Log,
		projection: config.Projection,
		codec:      config.Codec,
		source:     config.Source,
		subscriber: config.Subscriber,
		topic:      config.Queue,
		decode:     config.Decode,
		logger:     logger,
		tracers:    config.Tracers,
		store:      &store{pool: config.Pool, name: config.Projection.Name()},
		queue:      make(chan work, batchLimit),
		caughtUp:   make(chan struct{}),
		status:     &status{logger: logger},
		waiters:    newWaiters(),
	}
}

// Run applies events until ctx ends, and then returns nil. It outlives every
// fault: of the database, the log, the broker, or an event that cannot be
// applied; Stats tells of them. Call it once.
func (p *Projector) Run(ctx context.Context) error {
	if !p.begin(ctx) {
		return nil
	}
	tail := &tail{
		log:          p.log,
		source:       p.source,
		load:         p.store.cursor,
		submit:       p.submitPage,
		brokerInTime: func() time.Time { return time.Unix(0, p.brokerInTime.Load()) },
		status:       p.status,
		caughtUp:     p.caughtUp,
	}
	var running sync.WaitGroup
	running.Go(func() { p.applyAll(ctx) })
	running.Go(func() { p.watch(ctx) })
	running.Go(func() { tail.run(ctx) })
	if p.subscriber != nil {
		running.Go(func() { p.consume(ctx) })
	}
	running.Wait()
	return nil
}

// begin registers the projection, however long the database is away. It tells
// whether to go on: not when ctx has ended.
func (p *Projector) begin(ctx context.Context) bool {
	var retry backoff.Backoff
	for {
		bounded, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := p.store.register(bounded)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		p.status.report(partApply, err)
		if err == nil {
			return true
		}
		if retry.Pause(ctx) != nil {
			return false
		}
	}
}

// Ready is closed once everything that was in the log at the start is applied.
func (p *Projector) Ready() <-chan struct{} { return p.caughtUp }

// Stats tells how the projection is.
func (p *Projector) Stats() Stats { return p.status.stats() }
