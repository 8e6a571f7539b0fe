package postgres

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
)

const (
	// callTimeout bounds every call that reads.
	callTimeout = 30 * time.Second
	// defaultPage and maxPage bound how many events one call reads.
	defaultPage = 500
	maxPage     = 5000
)

// ErrNotPrimary: the server is a stand-by, whose snapshots do not list the
// transactions that are under way.
var ErrNotPrimary = errors.New("the server is a stand-by; a log is read on the primary only")

// Log is one event log, in schema log of one database.
type Log struct {
	name     string
	pool     *pgxpool.Pool
	current  atomic.Pointer[reader]
	logger   *slog.Logger
	bell     bell
	notifier *notifier
	counts   counts
}

var (
	_ eventstore.Store          = (*Log)(nil)
	_ eventstore.BulkAppender   = (*Log)(nil)
	_ eventstore.LogReader      = (*Log)(nil)
	_ eventstore.FilteredReader = (*Log)(nil)
)

// Open opens the log that the pool's database holds, under its name. It begins
// a new epoch where the database is not the incarnation that was seen last, and
// so does every later call that finds that on a new connection. The
// pool has to bound waits for locks, as those of platform/database do, and has
// to reach the primary.
func Open(ctx context.Context, pool *pgxpool.Pool, name string, logger *slog.Logger) (*Log, error) {
	if name == "" || len(name) > maxLogName {
		return nil, fmt.Errorf("open log: its name has to have 1 to %d characters", maxLogName)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l := &Log{name: name, pool: pool, logger: logger.With("log", name), notifier: newNotifier()}
	conn, err := l.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", name, err)
	}
	conn.Release()
	return l, nil
}

// Name of the log.
func (l *Log) Name() string { return l.name }

// Epoch is the log's incarnation: when it began, in milliseconds since 1970.
func (l *Log) Epoch() int64 { return l.reader().epoch }

// reader reads under the present epoch.
func (l *Log) reader() reader { return *l.current.Load() }

// Run tells the readers of all processes about appends, wakes the readers of
// this one, and sweeps expired commands, until ctx ends; it then gives nil.
// Without it nothing is lost, but a reader at the head waits its whole wait for
// what other processes append.
func (l *Log) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { l.runNotifier(ctx) })
	parts.Go(func() { l.runListener(ctx) })
	parts.Go(func() { l.runSweeper(ctx) })
	parts.Wait()
	return nil
}

//go:embed queries/read_stream.sql
var readStreamSQL string

// ReadStream reads at most limit events of a stream (500 where limit is not
// positive, 5000 at most) from a version on.
func (l *Log) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, readStreamSQL, stream, from, pageSize(limit))
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	var like metadata
	reader := l.reader()
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (eventstore.Event, error) {
		_, event, err := reader.scan(row, &like)
		return event, err
	})
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	return events, nil
}

// ReadLog reads at most limit events after the cursor (500 where limit is not
// positive, 5000 at most), and about 3 MiB of them. At the head it waits up to
// wait for one.
func (l *Log) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	return l.ReadMatching(ctx, eventstore.Filter{}, after, limit, wait)
}

// ReadMatching reads as ReadLog does, and of the events only those that the
// filter chooses. It looks at some two million of the others at most.
func (l *Log) ReadMatching(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	if len(filter.Types) == 0 {
		filter.Types = nil // NULL in the statements
	}
	waited := time.NewTimer(wait)
	defer waited.Stop()
	for {
		// Taken before the look, so that no event falls between the two.
		rung := l.bell.next()
		page, err := l.readOnce(ctx, filter, after, limit)
		if err != nil {
			return eventstore.Page{}, fmt.Errorf("read log: %w", err)
		}
		if wait <= 0 || len(page.Events) > 0 || !page.AtHead {
			return page, nil
		}
		select {
		case <-ctx.Done():
			return eventstore.Page{}, fmt.Errorf("read log: %w", ctx.Err())
		case <-waited.C:
			return page, nil
		case <-rung:
			after = page.Next
		}
	}
}

func (l *Log) readOnce(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return eventstore.Page{}, err
	}
	defer conn.Release()
	return l.page(ctx, conn.Conn(), filter, after, pageSize(limit))
}

// runSweeper sweeps at once, so that a process that is started anew each hour
// sweeps too, and then every ten minutes.
func (l *Log) runSweeper(ctx context.Context) {
	every := time.NewTicker(10 * time.Minute)
	defer every.Stop()
	for {
		if _, err := l.SweepCommands(ctx); err != nil && ctx.Err() == nil {
			l.logger.WarnContext(ctx, "expired commands could not be swept", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}
