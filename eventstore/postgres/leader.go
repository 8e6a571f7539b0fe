package postgres

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

//go:embed queries/checkpoint_lead.sql
var checkpointLeadSQL string

//go:embed queries/checkpoint_load.sql
var checkpointLoadSQL string

//go:embed queries/checkpoint_save.sql
var checkpointSaveSQL string

const (
	// leaderLocks is the class of the advisory locks that leaders hold.
	leaderLocks = 0x6d757374 // "must"
	// leadEvery is how often one who waits tries to become the leader.
	leadEvery = 500 * time.Millisecond
)

// ErrLeadershipLost: the connection that held the lock is gone, or another
// process leads. Close and call Lead again.
var ErrLeadershipLost = errors.New("leadership of the reader is lost")

// Leadership is being the one active reader of its name. Lock, notifications,
// reads and checkpoint share one connection, so that none outlives the others;
// it has to be a direct one, not through a pooler. It is for one goroutine.
type Leadership struct {
	log    *Log
	name   string
	conn   *pgx.Conn
	fence  int64
	closed bool
}

// Lead waits until this process is the one active reader of this name, or ctx
// ends. It tries twice a second, and through lost connections.
func (l *Log) Lead(ctx context.Context, name string) (*Leadership, error) {
	if name == "" {
		return nil, errors.New("lead: the reader has no name")
	}
	var conn *pgx.Conn
	warned := false
	for {
		lead, err := l.tryLead(ctx, &conn, name)
		if err == nil && lead != nil {
			return lead, nil
		}
		if err != nil {
			if conn != nil {
				disconnect(ctx, conn)
				conn = nil
			}
			if !warned && ctx.Err() == nil {
				l.logger.WarnContext(ctx, "the log cannot be reached to become its active reader; still trying", "reader", name, "error", err)
			}
			warned = true
		}
		if err := backoff.Sleep(ctx, leadEvery-leadEvery/10+rand.N(leadEvery/5)); err != nil {
			if conn != nil {
				disconnect(ctx, conn)
			}
			return nil, fmt.Errorf("lead: %w", err)
		}
	}
}

// tryLead gives nil when another process leads. It keeps the connection for the
// next try.
func (l *Log) tryLead(ctx context.Context, conn **pgx.Conn, name string) (*Leadership, error) {
	if *conn == nil {
		opened, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		*conn = opened
	}
	try, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var locked bool
	if err := (*conn).QueryRow(try, `SELECT pg_try_advisory_lock($1, $2)`, leaderLocks, lockKey(name)).Scan(&locked); err != nil {
		return nil, fmt.Errorf("try the lock: %w", err)
	}
	if !locked {
		return nil, nil //nolint:nilnil // both: no fault, and not the leader
	}
	lead := &Leadership{log: l, name: name, conn: *conn}
	if err := (*conn).QueryRow(try, checkpointLeadSQL, name).Scan(&lead.fence); err != nil {
		return nil, fmt.Errorf("raise the fence: %w", err)
	}
	// From here on it writes checkpoints alone. One that a crash takes costs that
	// some events are published again; to wait for the disk with each batch would
	// hold up all that comes after it. The fence above has to last.
	if _, err := (*conn).Exec(try, `SET synchronous_commit = off`); err != nil {
		return nil, fmt.Errorf("set the session up: %w", err)
	}
	if err := listen(ctx, *conn); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return lead, nil
}

func lockKey(name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int32(h.Sum32())
}

// Read reads at most limit events after the cursor, without waiting, as ReadLog does.
func (s *Leadership) Read(ctx context.Context, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	return s.ReadMatching(ctx, eventstore.Filter{}, after, limit)
}

// ReadMatching is Read of the events that a filter chooses.
func (s *Leadership) ReadMatching(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	var page eventstore.Page
	err := s.do(ctx, "read log", func(ctx context.Context) (err error) {
		page, err = s.log.page(ctx, s.conn, filter, after, pageSize(limit))
		return err
	})
	return page, err
}

// Checkpoint is the cursor that was saved last; empty when there is none. It is
// good in the present lifetime also when it was saved in a former one: it lies
// in the log's own database, so a crash that left it there has left all that
// was written before it too, the ends of all transactions that its snapshots
// count. Their ids are not given out again. No other copy of a cursor is worth
// that, and a crash would else publish the whole log again.
func (s *Leadership) Checkpoint(ctx context.Context) (eventstore.Cursor, error) {
	var cursor eventstore.Cursor
	err := s.do(ctx, "load checkpoint", func(ctx context.Context) error {
		if err := s.conn.QueryRow(ctx, checkpointLoadSQL, s.name).Scan(&cursor); err != nil {
			return err
		}
		var err error
		cursor, err = s.log.reader().adopt(ctx, s.conn, cursor)
		return err
	})
	return cursor, err
}

// Save stores a cursor that this leadership has read, unless another process
// has led since.
func (s *Leadership) Save(ctx context.Context, cursor eventstore.Cursor) error {
	return s.do(ctx, "save checkpoint", func(ctx context.Context) error {
		tag, err := s.conn.Exec(ctx, checkpointSaveSQL, s.name, s.fence, string(cursor))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrLeadershipLost
		}
		return err
	})
}

// Wait waits until something was appended, at most so long. It gives nil in
// both cases.
func (s *Leadership) Wait(ctx context.Context, most time.Duration) error {
	if s.closed || s.conn.IsClosed() {
		return fmt.Errorf("wait for the log: %w", ErrLeadershipLost)
	}
	if _, err := waitForNotification(ctx, s.conn, most); err != nil {
		return s.fault("wait for the log", err)
	}
	return nil
}

// Close ends the leadership; another process may lead at once.
func (s *Leadership) Close() {
	if !s.closed {
		s.closed = true
		disconnect(context.Background(), s.conn)
	}
}

func (s *Leadership) do(ctx context.Context, what string, call func(context.Context) error) error {
	if s.closed || s.conn.IsClosed() {
		return fmt.Errorf("%s: %w", what, ErrLeadershipLost)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := call(ctx); err != nil {
		return s.fault(what, err)
	}
	return nil
}

// fault says that leadership is lost where the connection is.
func (s *Leadership) fault(what string, err error) error {
	if s.conn.IsClosed() {
		return fmt.Errorf("%s: %w: %w", what, ErrLeadershipLost, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
