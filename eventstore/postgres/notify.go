package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// channel is where appends are told of; it is the database's own.
	channel = "muster_log"
	// notifyEvery coalesces: a NOTIFY takes a lock of the whole cluster at its
	// commit, which is also why none is sent inside an append.
	notifyEvery = 2 * time.Millisecond
	// tickEvery is how often the log is looked at when nothing is told.
	tickEvery = 100 * time.Millisecond
	// statementTimeout bounds a statement on a connection of its own.
	statementTimeout = 10 * time.Second
)

// bell wakes all readers that wait for an event.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

// next is closed at the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// notifier tells all processes that something was appended.
type notifier struct{ due chan struct{} }

func newNotifier() *notifier { return &notifier{due: make(chan struct{}, 1)} }

// wake asks for a NOTIFY and does not wait for it. Any number of them before it
// is sent are one.
func (n *notifier) wake() {
	select {
	case n.due <- struct{}{}:
	default:
	}
}

func (l *Log) runNotifier(ctx context.Context) {
	l.withConnection(ctx, "notifier", func(conn *pgx.Conn) error {
		if err := commitsAtOnce(ctx, conn); err != nil {
			return err
		}
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-l.notifier.due:
			}
			if err := notify(ctx, conn); err != nil {
				l.notifier.wake() // it is still to be told
				return err
			}
			if err := backoff.Sleep(ctx, notifyEvery); err != nil {
				return err
			}
		}
	})
}

// commitsAtOnce lets commits of a session not wait for the disk. A NOTIFY is
// heard when it is committed, and tells nothing that has to outlive the server.
func commitsAtOnce(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, `SET synchronous_commit = off`)
	return err
}

func notify(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, `NOTIFY `+channel)
	return err
}

// runListener rings the bell for the readers of this process: at a NOTIFY, and
// when a look at the log finds what nobody told of. The looks keep their pace
// where much is told: after each NOTIFY, they would cost a busy log its writers.
func (l *Log) runListener(ctx context.Context) {
	l.withConnection(ctx, "listener", func(conn *pgx.Conn) error {
		if err := listen(ctx, conn); err != nil {
			return err
		}
		var at place
		var looked time.Time
		for {
			if left := time.Until(looked.Add(tickEvery)); left > 0 {
				told, err := waitForNotification(ctx, conn, left)
				if err != nil {
					return err
				}
				if told {
					l.bell.ring()
				}
				continue
			}
			now, changed, err := l.glance(ctx, conn, at)
			if err != nil {
				return err
			}
			at, looked = now, time.Now()
			if changed {
				l.bell.ring()
			}
		}
	})
}

// glance tells whether something became visible since the place. From no place
// it says so: what was told while nobody listened is not known.
func (l *Log) glance(ctx context.Context, conn *pgx.Conn, at place) (place, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	reader := l.reader()
	if at.old.isZero() {
		now, _, err := reader.here(ctx, conn)
		return now, true, err
	}
	next, err := reader.begin(ctx, conn, at, maxPage)
	if err != nil || !next.inTick() {
		return next, false, err
	}
	return place{lifetime: next.lifetime, old: next.new}, true, nil
}

func listen(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, `LISTEN `+channel)
	return err
}

// waitForNotification waits up to most, and takes all notifications that have
// arrived: they gather while nobody waits, and one look at the log answers them
// all. That the time is over, or the context, leaves the connection as it was.
func waitForNotification(ctx context.Context, conn *pgx.Conn, most time.Duration) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		cancel() // so that this gives what is there, and does not wait
		for err == nil {
			_, err = conn.WaitForNotification(waiting)
		}
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case pgconn.Timeout(err) && !conn.IsClosed():
		return false, nil
	}
	return false, err
}

// connect opens a connection of the pool's kind, but outside it.
func (l *Log) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	config := l.pool.Config().ConnConfig
	// A host that vanishes has to be noticed by both sides within seconds, since
	// the session may hold a lock that another process waits for.
	for setting, value := range map[string]string{
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
	} {
		if _, given := config.RuntimeParams[setting]; !given {
			config.RuntimeParams[setting] = value
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := l.recognize(ctx, conn); err != nil {
		disconnect(ctx, conn)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// disconnect closes a connection, also when the context is over.
func disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// withConnection runs work on a connection of its own, and again on another one
// after a pause when it fails, until ctx ends.
func (l *Log) withConnection(ctx context.Context, name string, work func(*pgx.Conn) error) {
	var retry backoff.Backoff
	for {
		conn, err := l.connect(ctx)
		if err == nil {
			began := time.Now()
			err = work(conn)
			disconnect(ctx, conn)
			retry.Worked(began)
		}
		if ctx.Err() != nil {
			return
		}
		l.logger.WarnContext(ctx, "a connection to the log failed and is opened again", "part", name, "error", err)
		if retry.Pause(ctx) != nil {
			return
		}
	}
}
