package postgres

import (
	"bytes"
	"context"
	_ "embed" // the statements
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/muster-id/muster/eventstore"
)

const (
	// pageBytes bounds a page, so that it fits into one message of the log's
	// service; a single event may be larger.
	pageBytes = 3 << 20
	// rangeWindow bounds the rows that one statement looks at along the offset
	// index, and rangeWindows the statements of one call. The first looks at not
	// much more than a page, or at firstWindow: a server that has no statistics of
	// the table yet sorts all of it.
	rangeWindow  = 50_000
	rangeWindows = 40
	firstWindow  = 5_000
)

//go:embed queries/standing.sql
var standingSQL string

//go:embed queries/lifetime_begin.sql
var lifetimeBeginSQL string

//go:embed queries/tick_begin.sql
var tickBeginSQL string

//go:embed queries/tick_look.sql
var tickLookSQL string

//go:embed queries/tick_candidates.sql
var tickCandidatesSQL string

//go:embed queries/tick_range.sql
var tickRangeSQL string

//go:embed queries/last_offset.sql
var lastOffsetSQL string

// querier is a pool, a connection or a transaction. Ticks are read outside
// transactions: a snapshot counts its own transaction as visible.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// reader reads a log by ticks. A tick is what became visible between two
// snapshots, in the order of offsets: a writer of version n + 1 has seen n
// committed, so inside a stream that is the order of versions.
type reader struct {
	log   string
	epoch int64
	// start is the last offset of former epochs.
	start int64
	// look and candidates are statements; a test breaks them to see itself fail.
	look, candidates string
}

func newReader(log string, epoch, start int64) reader {
	return reader{log: log, epoch: epoch, start: start, look: tickLookSQL, candidates: tickCandidatesSQL}
}

// standing is how the log stands where a statement has looked at it.
type standing struct {
	lifetime pgtype.UUID
	epoch    pgtype.Int8
	// last is the event at the offset of the last one that the reader was given.
	last pgtype.UUID
}

// admits tells whether a place means anything there.
func (r reader) admits(at place, now standing) error {
	switch {
	case now.epoch.Int64 != r.epoch:
		return errOtherEpoch
	case at.last.offset > 0 && now.last.Bytes != at.last.id:
		return &setBackError{seen: r.epoch, what: "an event that the log does not have"}
	case !at.in(now.lifetime):
		return eventstore.ErrEpochChanged
	}
	return nil
}

// page reads the next page of what the filter chooses after the cursor.
func (r reader) page(ctx context.Context, db querier, filter eventstore.Filter, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	at, err := r.decode(after)
	if err != nil {
		return eventstore.Page{}, err
	}
	fresh := false
	var events []eventstore.Event
	window := max(firstWindow, 2*limit)
	for range rangeWindows {
		if !at.inTick() {
			fresh = true
			if at, err = r.begin(ctx, db, at, limit); err != nil {
				return eventstore.Page{}, err
			}
			if !at.inTick() {
				break
			}
		}
		if events, at, err = r.fetch(ctx, db, filter, at, limit, window); err != nil {
			return eventstore.Page{}, err
		}
		if len(events) > 0 {
			break
		}
		window = rangeWindow
	}
	page := eventstore.Page{Events: events, Next: r.encode(at), Epoch: r.epoch, AtHead: fresh && !at.inTick()}
	if !page.AtHead {
		if page.Remaining, err = r.remaining(ctx, db, at); err != nil {
			return eventstore.Page{}, err
		}
	}
	return page, nil
}

// remaining is about how many events come after a place that is not at the head.
// What was committed late, at a smaller offset, is not counted; what was read
// already, at a greater one, is.
func (r reader) remaining(ctx context.Context, db querier, at place) (int64, error) {
	var last int64
	if err := db.QueryRow(ctx, lastOffsetSQL).Scan(&last); err != nil {
		return 0, fmt.Errorf("look for the last offset: %w", err)
	}
	return max(last-at.reached, 1), nil
}

// here is the present place, with the last offset that its snapshot sees. It
// begins a lifetime where there is none.
func (r reader) here(ctx context.Context, db querier) (place, int64, error) {
	for range 2 {
		var text string
		var id pgtype.UUID
		var epoch pgtype.Int8
		var last int64
		if err := db.QueryRow(ctx, tickBeginSQL).Scan(&text, &id, &epoch, &last); err != nil {
			return place{}, 0, fmt.Errorf("take a snapshot: %w", notPrimary(err))
		}
		if epoch.Int64 != r.epoch {
			return place{}, 0, errOtherEpoch
		}
		if id.Valid {
			now, err := parseSnapshot(text)
			return place{lifetime: id.Bytes, old: now}, last, err
		}
		if _, err := db.Exec(ctx, lifetimeBeginSQL); err != nil {
			return place{}, 0, fmt.Errorf("begin a lifetime: %w", notPrimary(err))
		}
	}
	return place{}, 0, errors.New("take a snapshot: the server crashes again and again")
}

// adopt puts a cursor into the present lifetime; only for one that comes out of
// the log's own database, see Checkpoint. What is no cursor of this epoch stays
// as it is, for the read that refuses it.
func (r reader) adopt(ctx context.Context, db querier, cursor eventstore.Cursor) (eventstore.Cursor, error) {
	at, err := r.decode(cursor)
	if err != nil || cursor == "" {
		return cursor, nil //nolint:nilerr // see above
	}
	now, _, err := r.here(ctx, db)
	if err != nil {
		return "", err
	}
	at.lifetime = now.lifetime
	return r.encode(at), nil
}

// notPrimary knows a stand-by by its refusal to read a table without a log of
// its own, or to tell where it writes, and leaves other errors as they are.
func notPrimary(err error) error {
	var refused *pgconn.PgError
	// feature_not_supported, object_not_in_prerequisite_state
	if errors.As(err, &refused) && (refused.Code == "0A000" || refused.Code == "55000") {
		return fmt.Errorf("%w: %w", ErrNotPrimary, err)
	}
	return err
}

// begin begins the next tick; where there is nothing in it, the place is after it.
func (r reader) begin(ctx context.Context, db querier, at place, limit int) (place, error) {
	if at.old.seesNothing() {
		// Everything is a candidate, so there is nothing to look for.
		now, last, err := r.here(ctx, db)
		if err != nil || last == 0 {
			return now, err
		}
		return place{lifetime: now.lifetime, old: at.old, new: now.old, bound: last}, nil
	}
	var text string
	var stands standing
	var count, first, last int64
	err := db.QueryRow(ctx, r.look, at.old.String(), r.start, at.last.offset).
		Scan(&text, &stands.lifetime, &stands.epoch, &stands.last, &count, &first, &last)
	if err != nil {
		return place{}, fmt.Errorf("begin a tick: %w", notPrimary(err))
	}
	if err := r.admits(at, stands); err != nil {
		return place{}, err
	}
	now, err := parseSnapshot(text)
	if err != nil {
		return place{}, err
	}
	if now.xmax < at.old.xmax {
		return place{}, &setBackError{seen: r.epoch, what: "transactions that the server has not begun"}
	}
	if count == 0 {
		return place{lifetime: at.lifetime, old: now, last: at.last}, nil
	}
	next := place{lifetime: at.lifetime, old: at.old, new: now, reached: first - 1, last: at.last}
	// By candidates, each page sorts all that remain; along the offset index, the
	// tick passes each row between its first and last once.
	if count > int64(limit) && count*count/int64(2*limit) > last-first {
		next.bound = last
	}
	return next, nil
}

// fetch reads a page of the present tick; along the offset index it looks at a
// window of offsets.
func (r reader) fetch(ctx context.Context, db querier, filter eventstore.Filter, at place, limit, window int) ([]eventstore.Event, place, error) {
	end := min(at.bound, at.reached+int64(window))
	batch := &pgx.Batch{}
	// On the same connection, so in the lifetime that the rows are of. The last
	// look may have been on another, before a crash.
	batch.Queue(standingSQL, at.last.offset)
	if at.bound > 0 {
		batch.Queue(tickRangeSQL, at.old.String(), at.new.String(), at.reached, end, r.start, limit+1, filter.Types, filter.Stream)
	} else {
		batch.Queue(r.candidates, at.old.String(), at.new.String(), max(at.reached, r.start), limit+1, filter.Types, filter.Stream)
	}
	results := db.SendBatch(ctx, batch)
	defer results.Close() //nolint:errcheck // what was read is judged below
	var stands standing
	if err := results.QueryRow().Scan(&stands.lifetime, &stands.epoch, &stands.last); err != nil {
		return nil, at, fmt.Errorf("read a tick: %w", notPrimary(err))
	}
	if err := r.admits(at, stands); err != nil {
		return nil, at, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, at, fmt.Errorf("read a tick: %w", err)
	}
	defer rows.Close()
	var events []eventstore.Event
	if at.bound > 0 {
		events = make([]eventstore.Event, 0, min(int64(limit), end-at.reached))
	}
	size := 0
	var like metadata
	for rows.Next() {
		offset, event, err := r.scan(rows, &like)
		if err != nil {
			return nil, at, fmt.Errorf("read a tick: %w", err)
		}
		size += sizeOf(event)
		if len(events) == limit || (len(events) > 0 && size > pageBytes) {
			return events, at, nil
		}
		events = append(events, event)
		at.reached, at.last = offset, mark{offset: offset, id: event.ID}
	}
	if err := rows.Err(); err != nil {
		return nil, at, fmt.Errorf("read a tick: %w", err)
	}
	if end < at.bound {
		at.reached = end
		return events, at, nil
	}
	return events, place{lifetime: at.lifetime, old: at.new, reached: at.reached, last: at.last}, nil
}

// sizeOf is about what an event takes on the wire.
func sizeOf(event eventstore.Event) int {
	const envelope = 400 // ids, type, metadata, times
	return envelope + len(event.Payload) + len(event.Sealed) + len(event.MetadataSealed)
}

// metadata is that of the last event: events of one command stand side by side
// and have the same, and to read it takes longer than all the rest of an event.
type metadata struct {
	text []byte
	read eventstore.Metadata
}

func (m *metadata) of(text []byte) (eventstore.Metadata, error) {
	if m.text != nil && bytes.Equal(m.text, text) {
		return m.read, nil
	}
	var read eventstore.Metadata
	if err := json.Unmarshal(text, &read); err != nil {
		return read, fmt.Errorf("read metadata: %w", err)
	}
	m.text, m.read = text, read
	return read, nil
}

// scan reads a row in the column order of all the statements that read events,
// after one whose metadata may be like its own.
func (r reader) scan(row pgx.Row, like *metadata) (offset int64, event eventstore.Event, err error) {
	var id, key, metadataKey pgtype.UUID
	var text []byte
	var occurred time.Time
	err = row.Scan(&offset, &id, &event.Stream, &event.Version, &event.Shard, &event.Type, &event.SchemaVersion, &occurred,
		&event.Payload, &event.Sealed, &key, &text, &event.MetadataSealed, &metadataKey)
	if err != nil {
		return 0, event, err
	}
	if event.Metadata, err = like.of(text); err != nil {
		return 0, event, err
	}
	event.ID, event.Log, event.Epoch = uuid.UUID(id.Bytes), r.log, r.epoch
	event.OccurredAt = occurred.UTC()
	event.KeyID, event.MetadataKeyID = keyText(key), keyText(metadataKey)
	return offset, event, nil
}

func keyText(key pgtype.UUID) string {
	if !key.Valid {
		return ""
	}
	return uuid.UUID(key.Bytes).String()
}
