package postgres

import (
	"context"
	"crypto/subtle"
	_ "embed" // the statements
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
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

//go:embed queries/stream_versions.sql
var streamVersionsSQL string

//go:embed queries/event_ids.sql
var eventIDsSQL string

const (
	// appendTimeout bounds an append, waits for others included.
	appendTimeout = 15 * time.Second
	// rollbackTimeout bounds giving back what a refused append had locked.
	rollbackTimeout = 5 * time.Second
	// maxEvents bounds one append, and maxBulk all events of a bulk, whose
	// statement has to end well within appendTimeout.
	maxEvents = 1000
	maxBulk   = 10_000
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
	appended, err := l.appendInTurns(ctx, []eventstore.Append{a}, a.Command)
	if err != nil {
		return eventstore.Appended{}, fmt.Errorf("append: %w", err)
	}
	return appended[0], nil
}

// AppendAll appends to at most 10,000 streams, 10,000 events in all, and
// otherwise as Append does.
func (l *Log) AppendAll(ctx context.Context, appends []eventstore.Append, command *eventstore.Command) ([]eventstore.Appended, error) {
	if err := checkAll(appends); err != nil {
		return nil, fmt.Errorf("append all: %w", err)
	}
	appended, err := l.appendInTurns(ctx, appends, command)
	if err != nil {
		return nil, fmt.Errorf("append all: %w", sole(appends, err))
	}
	return appended, nil
}

// appendInTurns tries again, a bounded number of times, what may succeed then.
func (l *Log) appendInTurns(ctx context.Context, appends []eventstore.Append, command *eventstore.Command) ([]eventstore.Appended, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	ctx, span := tracing.Start(ctx, "append "+l.name)
	defer span.End()
	events := 0
	for _, a := range appends {
		events += len(a.Events)
	}
	for attempt := 1; ; attempt++ {
		appended, again, err := l.appendOnce(ctx, appends, command)
		replayed := err == nil && appended[0].Replayed
		l.counts.note(replayed, events, err)
		if err == nil {
			if !replayed {
				l.bell.ring()
				l.notifier.wake()
			}
			return appended, nil
		}
		if !again || attempt == appendAttempts {
			return nil, err
		}
		// Jitter, so that those who collided do not collide again.
		if err := backoff.Sleep(ctx, rand.N(time.Duration(attempt)*2*time.Millisecond)); err != nil {
			return nil, err
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

func checkAll(appends []eventstore.Append) error {
	if len(appends) == 0 {
		return errors.New("there are no streams")
	}
	events, streams, ids := 0, make(map[string]bool, len(appends)), make(map[uuid.UUID]bool, len(appends))
	for _, a := range appends {
		if err := check(a); err != nil {
			return &eventstore.StreamError{Stream: a.Stream, Err: err}
		}
		if streams[a.Stream] {
			return &eventstore.StreamError{Stream: a.Stream, Err: errors.New("the stream is named twice")}
		}
		streams[a.Stream] = true
		if len(a.Release) > 0 || len(a.Keep) > 0 || a.Command != nil {
			return &eventstore.StreamError{Stream: a.Stream, Err: errors.New("a bulk releases and keeps no names, and has one command for all")}
		}
		for i := range a.Events {
			if ids[a.Events[i].ID] {
				return &eventstore.StreamError{Stream: a.Stream, Err: eventstore.ErrEventIDUsed}
			}
			ids[a.Events[i].ID] = true
		}
		if events += len(a.Events); events > maxBulk {
			return fmt.Errorf("there are more than %d events", maxBulk)
		}
	}
	return nil
}

// appendOnce tells, where it fails, whether it may succeed when tried again.
func (l *Log) appendOnce(ctx context.Context, appends []eventstore.Append, command *eventstore.Command) (appended []eventstore.Appended, again bool, err error) {
	conn, err := l.acquire(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Release()
	additions, blind, err := resolve(ctx, conn, appends)
	if err != nil {
		return nil, false, err
	}
	position := eventstore.Position{Log: l.name, Epoch: l.Epoch()}
	appended = make([]eventstore.Appended, len(additions))
	plain := command == nil
	for i, a := range additions {
		position.Stream, position.Version = a.stream, a.expected+int64(len(a.events))
		appended[i].Position = position
		plain = plain && len(appends[i].Reserve) == 0 && len(appends[i].Release) == 0 && len(appends[i].Keep) == 0
	}
	if plain {
		// One statement is a transaction by itself.
		err = l.insert(ctx, conn.Exec, additions)
	} else {
		err = l.transact(ctx, conn, appends, additions, command, appended[0].Position)
	}
	switch {
	case err == nil:
		return appended, false, nil
	case errors.Is(err, errOnRecord):
		position, found, err := l.findCommand(ctx, conn, *command)
		if err == nil && !found {
			return nil, true, errors.New("the command expired meanwhile")
		}
		return []eventstore.Appended{{Position: position, Replayed: true}}, false, err
	case len(appends) > 1:
		err = atFault(ctx, conn, additions, err)
	}
	return nil, blind && errors.Is(err, eventstore.ErrWrongVersion), err
}

// resolve gives each stream the version that it is appended after, and tells
// whether that of any was looked up.
func resolve(ctx context.Context, conn *pgxpool.Conn, appends []eventstore.Append) (additions []addition, blind bool, err error) {
	additions = make([]addition, len(appends))
	var unknown []string
	for i, a := range appends {
		additions[i] = addition{stream: a.Stream, expected: int64(a.Expected), events: a.Events}
		if a.Expected == eventstore.AnyVersion {
			unknown = append(unknown, a.Stream)
		}
	}
	if len(unknown) == 0 {
		return additions, false, nil
	}
	versions, err := streamVersions(ctx, conn, unknown)
	if err != nil {
		return nil, false, err
	}
	for i, a := range appends {
		if a.Expected == eventstore.AnyVersion {
			additions[i].expected, versions = versions[0], versions[1:]
		}
	}
	return additions, true, nil
}

// streamVersions gives the version of each stream, 0 for one that has not begun.
func streamVersions(ctx context.Context, conn *pgxpool.Conn, streams []string) ([]int64, error) {
	rows, err := conn.Query(ctx, streamVersionsSQL, streams)
	if err != nil {
		return nil, fmt.Errorf("read the versions of streams: %w", err)
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read the versions of streams: %w", err)
	}
	return versions, nil
}

// atFault finds the stream that a bulk was refused for, by a look at what is there
// now. Where that has changed meanwhile, the refusal stays without a name.
func atFault(ctx context.Context, conn *pgxpool.Conn, additions []addition, refused error) error {
	switch {
	case errors.Is(refused, eventstore.ErrWrongVersion):
		streams := make([]string, len(additions))
		for i, a := range additions {
			streams[i] = a.stream
		}
		versions, err := streamVersions(ctx, conn, streams)
		if err != nil {
			return refused
		}
		for i, a := range additions {
			if versions[i] != a.expected {
				return &eventstore.StreamError{Stream: a.stream, Err: refused}
			}
		}
	case errors.Is(refused, eventstore.ErrEventIDUsed):
		var ids []uuid.UUID
		streams := make(map[uuid.UUID]string)
		for _, a := range additions {
			for i := range a.events {
				ids, streams[a.events[i].ID] = append(ids, a.events[i].ID), a.stream
			}
		}
		var used uuid.UUID
		if err := conn.QueryRow(ctx, eventIDsSQL, ids).Scan(&used); err != nil {
			return refused
		}
		return &eventstore.StreamError{Stream: streams[used], Err: refused}
	}
	return refused
}

// sole names the stream of a bulk of one, which needs no look.
func sole(appends []eventstore.Append, refused error) error {
	var reserved *eventstore.ReservedError
	var named *eventstore.StreamError
	isRefusal := errors.Is(refused, eventstore.ErrWrongVersion) || errors.Is(refused, eventstore.ErrEventIDUsed) || errors.As(refused, &reserved)
	if len(appends) == 1 && isRefusal && !errors.As(refused, &named) {
		return &eventstore.StreamError{Stream: appends[0].Stream, Err: refused}
	}
	return refused
}

// transact appends in two round trips: all statements in one, the commit in the
// other. Kinds that are kept come first, since all who keep one take turns, then
// the command, since a concurrent duplicate has to wait for its outcome, then
// the reservations in the order of their names.
func (l *Log) transact(ctx context.Context, conn *pgxpool.Conn, appends []eventstore.Append, additions []addition, command *eventstore.Command, position eventstore.Position) error {
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	for _, a := range appends {
		if len(a.Keep) > 0 {
			queueKeep(batch, a)
		}
	}
	if command != nil {
		queueCommand(batch, command, position)
	}
	for _, a := range appends {
		if len(a.Release) > 0 {
			batch.Queue(releaseSQL, a.Stream, a.Release)
		}
	}
	if err := queueReservations(batch, appends); err != nil {
		return err // nothing was sent yet
	}
	err := l.insert(ctx, func(ctx context.Context, query string, args ...any) (tag pgconn.CommandTag, err error) {
		batch.Queue(query, args...).Exec(func(outcome pgconn.CommandTag) error {
			tag = outcome
			return nil
		})
		err = conn.SendBatch(ctx, batch).Close()
		return tag, err
	}, additions)
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

func queueCommand(batch *pgx.Batch, c *eventstore.Command, position eventstore.Position) {
	batch.Queue(commandRecordSQL, c.Caller, c.Method, c.Key, c.Fingerprint, position.Stream, position.Version, commandLife).
		Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				return errOnRecord
			}
			return nil
		})
}

// queueReservations takes the names of all streams in one statement, since the
// order in which names are taken has to be the same for everyone.
func queueReservations(batch *pgx.Batch, appends []eventstore.Append) error {
	type name struct{ kind, hash string }
	holders := make(map[name]string)
	var kinds, keys, streams []string
	var hashes [][]byte
	for _, a := range appends {
		for _, r := range a.Reserve {
			wanted := name{r.Kind, string(r.Hash)}
			if holder, twice := holders[wanted]; twice && holder != a.Stream {
				return reserved(appends, a.Stream, r.Kind)
			} else if twice {
				continue // one statement may touch a row once
			}
			holders[wanted] = a.Stream
			kinds, hashes, keys, streams = append(kinds, r.Kind), append(hashes, r.Hash), append(keys, r.KeyID), append(streams, a.Stream)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	batch.Queue(reserveSQL, kinds, hashes, keys, streams).Query(func(rows pgx.Rows) error {
		var kind string
		var hash []byte
		if _, err := pgx.ForEachRow(rows, []any{&kind, &hash}, func() error {
			delete(holders, name{kind, string(hash)})
			return nil
		}); err != nil {
			return err
		}
		for _, a := range appends {
			for _, r := range a.Reserve { // the first that was asked for
				if _, missing := holders[name{r.Kind, string(r.Hash)}]; missing {
					return reserved(appends, a.Stream, r.Kind)
				}
			}
		}
		return nil
	})
	return nil
}

// reserved refuses a name, in a bulk with its stream.
func reserved(appends []eventstore.Append, stream, kind string) error {
	err := &eventstore.ReservedError{Kind: kind}
	if len(appends) > 1 {
		return &eventstore.StreamError{Stream: stream, Err: err}
	}
	return err
}

func (l *Log) insert(ctx context.Context, exec execFunc, additions []addition) error {
	written, err := publish(ctx, exec, l.name, additions...)
	if err != nil {
		return refusal(err)
	}
	for _, a := range additions {
		written -= int64(len(a.events))
	}
	if written != 0 { // fewer: the statement writes all or none
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
