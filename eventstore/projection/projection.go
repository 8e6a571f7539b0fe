package projection

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the goose migrations of the tables that every projection
// shares, at the root of the file system: schema read, part "projection_".
var Migrations, _ = fs.Sub(migrations, "migrations") // fails for an invalid path only

// ErrAway is wrapped by errors that say that something is away which an event
// needs to be applied: the keyring, a log, a storage. It is no fault of the
// event, which is tried again until it is there, and never parked.
var ErrAway = eventstore.ErrAway

// Projection is what a service makes of the events.
type Projection interface {
	// Name is its key in the database, for example "access".
	Name() string
	// Tables that its rows stand in, one that refers to another after it; none
	// where it only reacts.
	Tables() []Table
	// Handles tells whether events of a type change rows. The others are not
	// opened, but count as applied. Always the same for one type.
	Handles(eventType string) bool
	// Apply changes rows of the generation, inside tx and nowhere else. The
	// events are sorted by stream and version; each is given once, but again
	// when tx fails. An error takes back the whole batch, which is tried again,
	// and then in parts, until the event that fails is alone: it is parked.
	Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error
}

// Reactor is a Projection that does more than to change rows of a generation.
type Reactor interface {
	// React follows Apply in the same transaction, but not in a generation that
	// only verifies. Each event comes again with each rebuild, and may come to two
	// generations at once: what is done has to be done already.
	React(ctx context.Context, tx pgx.Tx, events []eventstore.Opened) error
}

// Decoder opens events; eventstore.Codec is one.
type Decoder interface {
	// Decode opens events, in their order, fetching all their keys in one call.
	Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error)
}

// knower is a Decoder that tells which types of events this program knows.
type knower interface{ Known(eventType string) bool }

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

	store   *store
	status  *status
	waiters *waiters
	// handled remembers what the projection handles, by type.
	handled sync.Map
	// tending holds a signal when there may be a generation to feed.
	tending chan struct{}
	ready   chan struct{}
	readied sync.Once
	// shy: events come in while a generation is made, which gives way to them.
	shy atomic.Bool
	// brokerInTime is when the broker last brought a fresh event, in Unix nanoseconds.
	brokerInTime atomic.Int64
}

// follower is a Projector while it follows the log into the tables of one
// incarnation.
type follower struct {
	*Projector
	incarnation uuid.UUID
	queue       chan work
	// caughtUp is closed at the first head.
	caughtUp chan struct{}
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
		status:     newStatus(logger),
		waiters:    newWaiters(),
		tending:    make(chan struct{}, 1),
		ready:      make(chan struct{}),
	}
}

// Run applies events until ctx ends, and then returns nil. It outlives every
// fault: of the database, the log, the broker, or an event that cannot be
// applied; Stats tells of them. Call it once.
func (p *Projector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { p.tend(ctx) })
	running.Go(func() { p.watch(ctx) })
	for p.follow(ctx) {
		p.logger.WarnContext(ctx, "the projection's tables were lost and made anew; it begins from the first event")
	}
	running.Wait()
	return nil
}

// follow applies the log to the generation that serves, until ctx ends or the
// tables are others than it began with: then it is to be called again.
func (p *Projector) follow(ctx context.Context) (lost bool) {
	at, cursor, ok := p.begin(ctx)
	if !ok {
		return false
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	f := &follower{Projector: p, incarnation: at.incarnation, queue: make(chan work, batchLimit), caughtUp: make(chan struct{})}
	tail := &tail{
		log:          p.log,
		source:       p.source,
		cursor:       cursor,
		submit:       f.submitPage,
		brokerInTime: func() time.Time { return time.Unix(0, p.brokerInTime.Load()) },
		status:       p.status,
		caughtUp:     f.caughtUp,
	}
	p.status.begins()
	var running sync.WaitGroup
	running.Go(func() { stop(f.applyAll(ctx)) })
	running.Go(func() { stop(f.watchTables(ctx)) })
	running.Go(func() { tail.run(ctx) })
	running.Go(func() { f.announce(ctx) })
	if p.subscriber != nil {
		running.Go(func() { f.consume(ctx) })
	}
	running.Wait()
	return errors.Is(context.Cause(ctx), errLost)
}

// lookEvery is how often a process looks at what only the tables know.
const lookEvery = time.Second

// watchTables looks at the tables until ctx ends, or with errLost once they are
// others: where nothing happens nobody else would notice.
func (f *follower) watchTables(ctx context.Context) error {
	for {
		// A failed look is told by who applies; there is another in a moment.
		if incarnation, err := f.readTables(ctx); err == nil && incarnation != f.incarnation {
			return errLost
		}
		if err := backoff.Sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// announce closes ready the first time that the log's head is reached.
func (f *follower) announce(ctx context.Context) {
	if f.completes(ctx) {
		f.readied.Do(func() { close(f.ready) })
	}
}

// begin registers the projection and loads where it stands, however long the
// database is away. It is not ok when ctx has ended.
func (p *Projector) begin(ctx context.Context) (at place, cursor eventstore.Cursor, ok bool) {
	var retry backoff.Backoff
	for {
		bounded, cancel := context.WithTimeout(ctx, sourceTimeout)
		err := p.store.register(bounded)
		if err == nil {
			at, cursor, err = p.store.serving(bounded)
		}
		cancel()
		if ctx.Err() != nil {
			return place{}, "", false
		}
		p.status.report(partApply, err)
		if err == nil {
			return at, cursor, true
		}
		if retry.Pause(ctx) != nil {
			return place{}, "", false
		}
	}
}

// handles remembers the projection's answers: there are few types and many events.
func (p *Projector) handles(eventType string) bool {
	if known, ok := p.handled.Load(eventType); ok {
		return known.(bool) //nolint:forcetypeassert // only bools are stored
	}
	handled := p.projection.Handles(eventType)
	p.handled.Store(eventType, handled)
	return handled
}

// Name is the projection's name.
func (p *Projector) Name() string { return p.projection.Name() }

// Ready is closed once everything that was in the log at the start is applied.
func (p *Projector) Ready() <-chan struct{} { return p.ready }

// Stats tells how the projection is.
func (p *Projector) Stats() Stats { return p.status.stats() }
