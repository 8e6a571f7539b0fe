package postgres

import (
	"context"
	"crypto/subtle"
	_ "embed" // the statements
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/internal/tracing"
)

//go:embed queries/command_record.sql
var commandRecordSQL string

//go:embed queries/command_find.sql
var commandFindSQL string

//go:embed queries/command_sweep.sql
var commandSweepSQL string

//go:embed queries/release.sql
var releaseSQL string

//go:embed queries/keep.sql
var keepSQL string

//go:embed queries/reserve.sql
var reserveSQL string

//go:embed queries/reserved.sql
var reservedSQL string

//go:embed queries/stream_version.sql
var streamVersionSQL string

const (
	// appendTimeout bounds an append, waits for others included.
	appendTimeout = 15 * time.Second
	// rollbackTimeout bounds giving back what a refused append had locked.
	rollbackTimeout = 5 * time.Second
	// maxEvents bounds one append.
	maxEvents = 1000
	// appendAttempts bounds how often an append at any version, or one whose
	// command expired meanwhile, starts over.
	appendAttempts = 20
	// commandLife is how long a repeated command is answered.
	commandLife = 24 * time.Hour
	// sweepBatch, sweepRounds and sweepTimeout bound one sweep of expired commands.
	sweepBatch   = 1000
	sweepRounds  = 100
	sweepTimeout = time.Minute
)

var (
	// ErrBusy: others held what the append needs for too long, or it was chosen
	// to resolve a deadlock. Nothing was appended; it may be tried again.
	ErrBusy = errors.New("the log is busy; nothing was appended")
	// errOnRecord: the command was executed before.
	errOnRecord = errors.New("command is on record")
)

// Append writes command row, reservations and events in one transaction, or
// nothing. Besides the errors of eventstore.Appender it gives ErrBusy. When
// the connection is lost during the commit, nobody knows the outcome: with a
// Command, the caller finds out by trying again.
func (l *Log) Append(ctx context.Context, a eventstore.Append) (eventstore.Appended, error) {
	if err := check(a); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	ctx, span := tracing.Start(ctx, "append "+l.name)
	defer span.End()
	for attempt := 1; ; attempt++ {
		appended, again, err := l.appendOnce(ctx, a)
		l.counts.note(appended, len(a.Events), err)
		if err == nil {
			if !appended.Replayed {
				l.bell.ring()
				l.notifier.wake()
			}
			return appended, nil
		}
		if !again || attempt == appendAttempts {
			return eventstore.Appended{}, fmt.Errorf("append: %w", err)
		}
		// Jitter, so that those who collided do not collide again.
		if err := backoff.Sleep(ctx, rand.N(time.Duration(attempt)*2*time.Millisecond)); err != nil {
			return eventstore.Appended{}, fmt.Errorf("append: %w", err)
		}
	}
}

func check(a eventstore.Append) error {
	switch {
	case a.Stream == "":
		return errors.New("the stream has no name")
	case len(a.Events) == 0:
		return errors.New("there are no events")
	case len(a.Events) > maxEvents:
		return fmt.Errorf("there are more than %d events", maxEvents)
	case a.Expected < eventstore.AnyVersion:
		return errors.New("the expected version is negative")
	}
	return nil
}

// appendOnce tells, where it fails, whether it may succeed when tried again.
func (l *Log) appendOnce(ctx context.Context, a eventstore.Append) (appended eventstore.Appended, again bool, err error) {
	conn, err := l.acquire(ctx)
	if err != nil {
		return appended, false, err
	}
	defer conn.Release()
	expected := int64(a.Expected)
	if a.Expected == eventstore.AnyVersion {
		if err := conn.QueryRow(ctx, streamVersionSQL, a.Stream).Scan(&expected); err != nil {
			return appended, false, fmt.Errorf("read the stream's version: %w", err)
		}
	}
	appended.Position = eventstore.Position{Log: l.name, Epoch: l.Epoch(), Stream: a.Stream, Version: expected + int64(len(a.Events))}
	if a.Command == nil && len(a.Reserve) == 0 && len(a.Release) == 0 && len(a.Keep) == 0 {
		// One statement is a transaction by itself.
		err = l.insert(ctx, conn.Exec, a, expected)
	} else {
		err = l.transact(ctx, conn, a, expected)
	}
	if errors.Is(err, errOnRecord) {
		position, found, err := l.findCommand(ctx, conn, *a.Command)
		if err == nil && !found {
			return appended, true, errors.New("the command expired meanwhile")
		}
		return eventstore.Appended{Position: position, Replayed: true}, false, err
	}
	return appended, a.Expected == eventstore.AnyVersion && errors.Is(err, eventstore.ErrWrongVersion), err
}

// transact appends in two round trips: all statements in one, the commit in the
// other. Kinds that are kept come first, since all who keep one take turns, then
// the command, since a concurrent duplicate has to wait for its outcome, then
// the reservations in the order of their names.
func (l *Log) transact(ctx context.Context, conn *pgxpool.Conn, a eventstore.Append, expected int64) error {
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	if len(a.Keep) > 0 {
		queueKeep(batch, a)
	}
	if a.Command != nil {
		queueCommand(batch, a, expected)
	}
	if len(a.Release) > 0 {
		batch.Queue(releaseSQL, a.Stream, a.Release)
	}
	if len(a.Reserve) > 0 {
		queueReservations(batch, a)
	}
	err := l.insert(ctx, func(ctx context.Context, query string, args ...any) (tag pgconn.CommandTag, err error) {
		batch.Queue(query, args...).Exec(func(outcome pgconn.CommandTag) error {
			tag = outcome
			return nil
		})
		err = conn.SendBatch(ctx, batch).Close()
		return tag, err
	}, a, expected)
	if err != nil {
		rollBack(ctx, conn)
		return err
	}
	if _, err := conn.Exec(ctx, `COMMIT`); err != nil {
		return refusal(fmt.Errorf("commit: %w", err))
	}
	return nil
}

func queueKeep(batch *pgx.Batch, a eventstore.Append) {
	batch.Queue(keepSQL, a.Stream, a.Keep).Query(func(rows pgx.Rows) error {
		others := make(map[string]bool, len(a.Keep))
		var kind string
		var ofAnother bool
		if _, err := pgx.ForEachRow(rows, []any{&kind, &ofAnother}, func() error {
			others[kind] = others[kind] || ofAnother
			return nil
		}); err != nil {
			return err
		}
		for _, kind := range a.Keep {
			if !others[kind] {
				return &eventstore.LastHolderError{Kind: kind}
			}
		}
		return nil
	})
}

func queueCommand(batch *pgx.Batch, a eventstore.Append, expected int64) {
	c := a.Command
	batch.Queue(commandRecordSQL, c.Caller, c.Method, c.Key, c.Fingerprint, a.Stream, expected+int64(len(a.Events)), commandLife).
		Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				return errOnRecord
			}
			return nil
		})
}

func queueReservations(batch *pgx.Batch, a eventstore.Append) {
	type name struct{ kind, hash string }
	missing := make(map[name]bool, len(a.Reserve))
	var kinds, keys []string
	var hashes [][]byte
	for _, r := range a.Reserve {
		wanted := name{r.Kind, string(r.Hash)}
		if missing[wanted] {
			continue // one statement may touch a row once
		}
		missing[wanted] = true
		kinds, hashes, keys = append(kinds, r.Kind), append(hashes, r.Hash), append(keys, r.KeyID)
	}
	batch.Queue(reserveSQL, a.Stream, kinds, hashes, keys).Query(func(rows pgx.Rows) error {
		var kind string
		var hash []byte
		if _, err := pgx.ForEachRow(rows, []any{&kind, &hash}, func() error {
			delete(missing, name{kind, string(hash)})
			return nil
		}); err != nil {
			return err
		}
		for _, r := range a.Reserve { // the first that was asked for
			if missing[name{r.Kind, string(r.Hash)}] {
				return &eventstore.ReservedError{Kind: r.Kind}
			}
		}
		return nil
	})
}

func (l *Log) insert(ctx context.Context, exec execFunc, a eventstore.Append, expected int64) error {
	written, err := publish(ctx, exec, l.name, a.Stream, expected, a.Events)
	if err != nil {
		return refusal(err)
	}
	if written == 0 {
		return eventstore.ErrWrongVersion
	}
	return nil
}

// refusal turns what the server refuses into what the log promises.
func refusal(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case "23505": // unique_violation
		switch refused.ConstraintName {
		case "events_stream_version_is_unique":
			return eventstore.ErrWrongVersion
		case "events_id_is_unique":
			return eventstore.ErrEventIDUsed
		}
	case "55P03", "40P01", "40001": // lock_not_available, deadlock_detected, serialization_failure
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// rollBack ends a refused transaction, also when the command's context is over.
// Where that fails, the pool closes the connection and the server rolls back.
func rollBack(ctx context.Context, conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if !conn.Conn().IsClosed() {
		_, _ = conn.Exec(ctx, `ROLLBACK`)
	}
}

// FindCommand gives the position of a command that was executed before. One
// with another fingerprint is ErrCommandReused.
func (l *Log) FindCommand(ctx context.Context, command eventstore.Command) (eventstore.Position, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return eventstore.Position{}, false, fmt.Errorf("find command: %w", err)
	}
	defer conn.Release()
	return l.findCommand(ctx, conn, command)
}

func (l *Log) findCommand(ctx context.Context, conn *pgxpool.Conn, command eventstore.Command) (eventstore.Position, bool, error) {
	position := eventstore.Position{Log: l.name, Epoch: l.Epoch()}
	var fingerprint []byte
	err := conn.QueryRow(ctx, commandFindSQL, command.Caller, command.Method, command.Key).
		Scan(&fingerprint, &position.Stream, &position.Version)
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Position{}, false, nil
	}
	if err != nil {
		return eventstore.Position{}, false, fmt.Errorf("find command: %w", err)
	}
	if subtle.ConstantTimeCompare(fingerprint, command.Fingerprint) != 1 {
		return eventstore.Position{}, false, eventstore.ErrCommandReused
	}
	return position, true, nil
}

// Reserved gives the kinds of those names that some stream holds, without
// repetition. A name that is free now may be taken by the time of an append.
func (l *Log) Reserved(ctx context.Context, names []eventstore.Reservation) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kinds, hashes := make([]string, len(names)), make([][]byte, len(names))
	for i, name := range names {
		kinds[i], hashes[i] = name.Kind, name.Hash
	}
	rows, err := l.pool.Query(ctx, reservedSQL, kinds, hashes)
	if err != nil {
		return nil, fmt.Errorf("look for reservations: %w", err)
	}
	taken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for reservations: %w", err)
	}
	return taken, nil
}

// SweepCommands deletes expired commands, at most 100,000 and for a minute, and
// tells how many. They are without effect already; Run sweeps every ten minutes.
func (l *Log) SweepCommands(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	var swept int64
	for range sweepRounds {
		tag, err := l.pool.Exec(ctx, commandSweepSQL, sweepBatch)
		if err != nil {
			return swept, fmt.Errorf("sweep commands: %w", err)
		}
		swept += tag.RowsAffected()
		if tag.RowsAffected() < sweepBatch {
			break
		}
	}
	return swept, nil
}
