package postgres

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	_ "embed" // the statements
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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

//go:embed queries/append_one.sql
var appendOneSQL string

// The message's metadata hold the event's columns; its id and payload are the event's.
const (
	columnStream         = "stream_id"
	columnVersion        = "stream_version"
	columnType           = "type"
	columnSchemaVersion  = "schema_version"
	columnOccurredAt     = "occurred_at" // in microseconds since 1970
	columnSealed         = "sealed"
	columnKey            = "key_id"
	columnMetadata       = "metadata"
	columnMetadataSealed = "metadata_sealed"
	columnMetadataKey    = "metadata_key_id"
)

// execFunc runs one statement: a pool's, a transaction's or a batch's.
type execFunc func(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)

// publish writes events after the expected version with Watermill's publisher,
// in one statement. It tells how many rows were written: none when the
// predecessor is missing.
func publish(ctx context.Context, exec execFunc, log, stream string, expected int64, events []eventstore.Event) (int64, error) {
	messages := make([]*message.Message, len(events))
	for i := range events {
		var err error
		if messages[i], err = toMessage(&events[i], stream, expected+int64(i)+1); err != nil {
			return 0, err
		}
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

func toMessage(event *eventstore.Event, stream string, version int64) (*message.Message, error) {
	metadata, err := json.Marshal(event.Metadata)
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	m := message.NewMessage(event.ID.String(), event.Payload)
	m.Metadata = message.Metadata{
		columnStream:        stream,
		columnVersion:       strconv.FormatInt(version, 10),
		columnType:          event.Type,
		columnSchemaVersion: strconv.FormatInt(int64(event.SchemaVersion), 10),
		columnOccurredAt:    strconv.FormatInt(event.OccurredAt.UnixMicro(), 10),
		columnMetadata:      string(metadata),
	}
	for column, value := range map[string]string{
		columnSealed: string(event.Sealed), columnKey: event.KeyID,
		columnMetadataSealed: string(event.MetadataSealed), columnMetadataKey: event.MetadataKeyID,
	} {
		if value != "" {
			m.Metadata[column] = value
		}
	}
	return m, nil
}

// schema maps messages to the columns of log.events. The publisher uses
// InsertQuery alone: logs are read by ticks, not by Watermill's subscriber, and
// made by migrations.
type schema struct{ sql.DefaultPostgreSQLSchema }

// InsertQuery gives the one statement that writes all messages of a command and
// proves the predecessor of the first.
func (schema) InsertQuery(_ string, messages message.Messages) (sql.Query, error) {
	rows := make([]row, len(messages))
	for i, m := range messages {
		var err error
		if rows[i], err = toRow(m); err != nil {
			return sql.Query{}, fmt.Errorf("event of type %s: %w", m.Metadata[columnType], err)
		}
	}
	first := rows[0]
	proof := []any{first.stream, first.version - 1, eventstore.ShardOf(first.stream)}
	if len(rows) == 1 {
		return sql.Query{Query: appendOneSQL, Args: append(proof, first.id, first.version, first.eventType, first.schemaVersion, first.occurredAt,
			first.payload, first.sealed, first.key, first.metadata, first.metadataSealed, first.metadataKey)}, nil
	}
	return sql.Query{Query: appendSQL, Args: append(proof,
		column(rows, func(r row) pgtype.UUID { return r.id }),
		column(rows, func(r row) int64 { return r.version }),
		column(rows, func(r row) string { return r.eventType }),
		column(rows, func(r row) int64 { return r.schemaVersion }),
		column(rows, func(r row) time.Time { return r.occurredAt }),
		column(rows, func(r row) json.RawMessage { return r.payload }),
		column(rows, func(r row) []byte { return r.sealed }),
		column(rows, func(r row) pgtype.UUID { return r.key }),
		column(rows, func(r row) json.RawMessage { return r.metadata }),
		column(rows, func(r row) []byte { return r.metadataSealed }),
		column(rows, func(r row) pgtype.UUID { return r.metadataKey }),
	)}, nil
}

// row is a message as the table has it.
type row struct {
	stream                 string
	id, key, metadataKey   pgtype.UUID
	version, schemaVersion int64
	eventType              string
	occurredAt             time.Time
	payload, metadata      json.RawMessage
	sealed, metadataSealed []byte
}

func column[T any](rows []row, of func(row) T) []T {
	values := make([]T, len(rows))
	for i, r := range rows {
		values[i] = of(r)
	}
	return values
}

func toRow(m *message.Message) (row, error) {
	var faults [6]error
	var micros int64
	r := row{
		stream:         m.Metadata[columnStream],
		eventType:      m.Metadata[columnType],
		payload:        json.RawMessage(m.Payload),
		metadata:       json.RawMessage(m.Metadata[columnMetadata]),
		sealed:         optionalBytes(m.Metadata[columnSealed]),
		metadataSealed: optionalBytes(m.Metadata[columnMetadataSealed]),
	}
	r.id, faults[0] = toUUID(m.UUID)
	r.version, faults[1] = strconv.ParseInt(m.Metadata[columnVersion], 10, 64)
	r.schemaVersion, faults[2] = strconv.ParseInt(m.Metadata[columnSchemaVersion], 10, 32)
	micros, faults[3] = strconv.ParseInt(m.Metadata[columnOccurredAt], 10, 64)
	r.key, faults[4] = toUUID(m.Metadata[columnKey])
	r.metadataKey, faults[5] = toUUID(m.Metadata[columnMetadataKey])
	r.occurredAt = time.UnixMicro(micros)
	return r, errors.Join(faults[:]...)
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

func optionalBytes(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
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
