package postgres

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	_ "embed" // the statements
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/muster-id/muster/eventstore"
)

//go:embed queries/append.sql
var appendSQL string

//go:embed queries/append_bulk.sql
var appendBulkSQL string

//go:embed queries/append_first.sql
var appendFirstSQL string

//go:embed queries/append_next.sql
var appendNextSQL string

// execFunc runs one statement: a pool's, a transaction's or a batch's.
type execFunc func(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)

// addition is what one stream is given: events after its expected version.
type addition struct {
	stream   string
	expected int64
	events   []eventstore.Event
}

// publish writes additions to different streams with Watermill's publisher, in
// one statement. It tells how many rows were written: all, or none when a
// predecessor is missing.
func publish(ctx context.Context, exec execFunc, log string, additions ...addition) (int64, error) {
	messages, err := toMessages(ctx, additions)
	if err != nil {
		return 0, err
	}
	on := &executor{ctx: ctx, exec: exec}
	// Not a logger that prints: the publisher traces its arguments.
	publisher, err := sql.NewPublisher(on, sql.PublisherConfig{SchemaAdapter: schema{}}, watermill.NopLogger{})
	if err != nil {
		return 0, err
	}
	if err := publisher.Publish(log, messages...); err != nil {
		return 0, err
	}
	return on.written, nil
}

// row is an event as the table has it.
type row struct {
	*eventstore.Event
	id               pgtype.UUID
	stream           string
	version          int64
	shard            int32
	key, metadataKey pgtype.UUID
	metadata         []byte
}

// rowKey is where a message's context holds its row. Not in its metadata, which
// are strings: writing numbers, bytes and ids as text, and parsing that, costs
// as much as all else that is done here.
type rowKey struct{}

// toMessages makes a message of each event. Its id and payload are the event's;
// the row rides in its context.
func toMessages(ctx context.Context, additions []addition) (message.Messages, error) {
	n := 0
	for _, a := range additions {
		n += len(a.events)
	}
	rows, messages := make([]row, n), make(message.Messages, n)
	at := 0
	for _, a := range additions {
		shard := eventstore.ShardOf(a.stream)
		for i := range a.events {
			event, r := &a.events[i], &rows[at]
			*r = row{Event: event, id: pgtype.UUID{Bytes: event.ID, Valid: true}, stream: a.stream, version: a.expected + int64(i) + 1, shard: shard}
			var faults [3]error
			if at > 0 && rows[at-1].Event.Metadata == event.Metadata {
				r.metadata = rows[at-1].metadata // those of one command are the same
			} else {
				r.metadata, faults[0] = json.Marshal(event.Metadata)
			}
			r.key, faults[1] = toUUID(event.KeyID)
			r.metadataKey, faults[2] = toUUID(event.MetadataKeyID)
			if err := errors.Join(faults[:]...); err != nil {
				return nil, fmt.Errorf("event of type %s: %w", event.Type, err)
			}
			messages[at] = message.NewMessage(event.ID.String(), event.Payload)
			messages[at].SetContext(context.WithValue(ctx, rowKey{}, r))
			at++
		}
	}
	return messages, nil
}

// schema maps messages to the columns of log.events. The publisher uses
// InsertQuery alone: logs are read by ticks, not by Watermill's subscriber, and
// made by migrations.
type schema struct{ sql.DefaultPostgreSQLSchema }

// InsertQuery gives the one statement that writes all messages of an append and
// proves the predecessor of the first of each stream.
func (schema) InsertQuery(_ string, messages message.Messages) (sql.Query, error) {
	rows := make([]*row, len(messages))
	for i, m := range messages {
		r, ok := m.Context().Value(rowKey{}).(*row)
		if !ok {
			return sql.Query{}, errors.New("a message holds no event")
		}
		rows[i] = r
	}
	first, last := rows[0], rows[len(rows)-1]
	switch {
	case len(rows) == 1:
		return insertOne(first), nil
	case first.stream == last.stream: // a stream's rows stand together
		return sql.Query{Query: appendSQL, Args: append([]any{
			first.stream, first.version - 1, first.shard,
			column(rows, func(r *row) pgtype.UUID { return r.id }),
			column(rows, func(r *row) int64 { return r.version }),
		}, columns(rows)...)}, nil
	}
	streams, versions := []string{}, []int64{} // those that have begun
	for i, r := range rows {
		if r.version > 1 && (i == 0 || rows[i-1].stream != r.stream) {
			streams, versions = append(streams, r.stream), append(versions, r.version-1)
		}
	}
	return sql.Query{Query: appendBulkSQL, Args: append([]any{
		streams, versions,
		column(rows, func(r *row) pgtype.UUID { return r.id }),
		column(rows, func(r *row) string { return r.stream }),
		column(rows, func(r *row) int64 { return r.version }),
		column(rows, func(r *row) int32 { return r.shard }),
	}, columns(rows)...)}, nil
}

// columns are those that every statement for several rows ends with.
func columns(rows []*row) []any {
	return []any{
		column(rows, func(r *row) string { return r.Type }),
		column(rows, func(r *row) int32 { return r.SchemaVersion }),
		column(rows, func(r *row) time.Time { return r.OccurredAt }),
		column(rows, func(r *row) []byte { return r.Payload }),
		column(rows, func(r *row) []byte { return optional(r.Sealed) }),
		column(rows, func(r *row) pgtype.UUID { return r.key }),
		column(rows, func(r *row) []byte { return r.metadata }),
		column(rows, func(r *row) []byte { return optional(r.MetadataSealed) }),
		column(rows, func(r *row) pgtype.UUID { return r.metadataKey }),
	}
}

func insertOne(r *row) sql.Query {
	args := []any{
		r.id, r.stream, r.shard, r.Type, r.SchemaVersion, r.OccurredAt,
		r.Payload, optional(r.Sealed), r.key, r.metadata, optional(r.MetadataSealed), r.metadataKey,
	}
	if r.version == 1 {
		return sql.Query{Query: appendFirstSQL, Args: args}
	}
	return sql.Query{Query: appendNextSQL, Args: append(args, r.version-1)}
}

// column is an array that pgx encodes without reflection.
func column[T any](rows []*row, of func(*row) T) pgtype.FlatArray[T] {
	values := make(pgtype.FlatArray[T], len(rows))
	for i, r := range rows {
		values[i] = of(r)
	}
	return values
}

// optional makes empty bytes NULL.
func optional(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	return value
}

// toUUID parses an id; an empty one is NULL.
func toUUID(text string) (pgtype.UUID, error) {
	if text == "" {
		return pgtype.UUID{}, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return pgtype.UUID{}, errors.New("an id is not a UUID")
	}
	return pgtype.UUID{Bytes: id, Valid: true}, nil
}

// executor is what the publisher writes to. The publisher knows neither the
// command's context nor what became of its statement, so both are kept here.
type executor struct {
	ctx     context.Context //nolint:containedctx // the publisher passes none on
	exec    execFunc
	written int64
}

var errPublisherOnly = errors.New("only what the publisher needs is there")

// ExecContext runs the publisher's statement under the command's context.
func (e *executor) ExecContext(_ context.Context, query string, args ...any) (stdsql.Result, error) {
	tag, err := e.exec(e.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	e.written = tag.RowsAffected()
	return driver.RowsAffected(e.written), nil
}

// Exec is part of Watermill's interface; its publisher does not call it.
func (e *executor) Exec(query string, args ...any) (stdsql.Result, error) {
	return e.ExecContext(e.ctx, query, args...)
}

// Query is part of Watermill's interface; its publisher does not call it.
func (e *executor) Query(string, ...any) (*stdsql.Rows, error) { return nil, errPublisherOnly }

// QueryContext is part of Watermill's interface; its publisher does not call it.
func (e *executor) QueryContext(context.Context, string, ...any) (*stdsql.Rows, error) {
	return nil, errPublisherOnly
}

// QueryRow is part of Watermill's interface; its publisher does not call it.
func (e *executor) QueryRow(string, ...any) *stdsql.Row { return nil }

// QueryRowContext is part of Watermill's interface; its publisher does not call it.
func (e *executor) QueryRowContext(context.Context, string, ...any) *stdsql.Row { return nil }
