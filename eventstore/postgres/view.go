package postgres

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
)

// viewWindow bounds the offsets that one statement looks at backwards, and
// viewWindows the statements of one call: so a rare filter on a large log is
// answered by short pages, each in a second or so. The first window is not much
// more than a page, as most pages need no other.
const (
	firstViewWindow = 2_000
	viewWindow      = 20_000
	viewWindows     = 10
)

//go:embed queries/view_range.sql
var viewRangeSQL string

//go:embed queries/view_stream.sql
var viewStreamSQL string

//go:embed queries/view_holder.sql
var viewHolderSQL string

var _ eventstore.BackwardReader = (*Log)(nil)

// ReadBack gives at most limit events (500 where limit is not positive, 5000 at
// most) and about 3 MiB of them. Without a stream of the very name it looks at
// some 180,000 events at most.
func (l *Log) ReadBack(ctx context.Context, look eventstore.Look, limit int) (eventstore.Glance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return eventstore.Glance{}, fmt.Errorf("read log backwards: %w", err)
	}
	defer conn.Release()
	back := backward{reader: l.reader(), db: conn.Conn(), look: look, limit: pageSize(limit), window: viewWindow}
	glance, err := back.read(ctx)
	if err != nil {
		return eventstore.Glance{}, fmt.Errorf("read log backwards: %w", err)
	}
	return glance, nil
}

// backward is one read of a log from its end. It sees what is committed: what is
// appended meanwhile has greater offsets, but for transactions that were under way
// when the first page was read.
type backward struct {
	reader reader
	db     *pgx.Conn
	look   eventstore.Look
	limit  int
	window int64
}

func (b backward) read(ctx context.Context) (eventstore.Glance, error) {
	if len(b.look.Types) == 0 {
		b.look.Types = nil // NULL in the statements
	}
	glance := eventstore.Glance{Epoch: b.reader.epoch, Next: b.look.Before}
	if glance.Next <= 0 {
		var last int64
		if err := b.db.QueryRow(ctx, lastOffsetSQL).Scan(&last); err != nil {
			return glance, err
		}
		glance.Next = last + 1
	}
	if b.look.Stream != "" {
		found, named, err := b.stream(ctx, glance)
		if named || err != nil {
			return found, err
		}
	}
	window := min(max(firstViewWindow, int64(2*b.limit)), b.window)
	for range viewWindows {
		from := max(glance.Next-window, 1)
		events, cut, err := b.query(ctx, viewRangeSQL, b.limit+1,
			glance.Next, from, b.look.Types, b.look.Stream, b.look.Actor, given(b.look.Since), given(b.look.Until), b.limit+1)
		if err != nil {
			return glance, err
		}
		glance.Events = events
		switch {
		case cut:
			glance.Next = events[len(events)-1].Place
			return glance, nil
		case from == 1:
			glance.Next = 0
			return glance, nil
		}
		glance.Next = from
		if len(events) > 0 {
			return glance, nil
		}
		window = b.window
	}
	return glance, nil
}

// stream reads the stream of the very name, where there is one.
func (b backward) stream(ctx context.Context, glance eventstore.Glance) (eventstore.Glance, bool, error) {
	rows, err := b.db.Query(ctx, readStreamSQL, b.look.Stream, 1, 1)
	if err != nil {
		return glance, false, err
	}
	rows.Close()
	if err := rows.Err(); err != nil || rows.CommandTag().RowsAffected() == 0 {
		return glance, false, err
	}
	events, cut, err := b.query(ctx, viewStreamSQL, b.limit+1,
		glance.Next, b.look.Types, b.look.Stream, b.look.Actor, given(b.look.Since), given(b.look.Until), b.limit+1)
	if err != nil {
		return glance, false, err
	}
	glance.Events, glance.Next = events, 0
	if cut {
		glance.Next = events[len(events)-1].Place
	}
	return glance, true, nil
}

// query gives at most one event less than asked for; cut tells that there are more.
func (b backward) query(ctx context.Context, sql string, asked int, arguments ...any) (events []eventstore.Placed, cut bool, err error) {
	rows, err := b.db.Query(ctx, sql, arguments...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	size := 0
	var like metadata
	for rows.Next() {
		offset, event, err := b.reader.scan(rows, &like)
		if err != nil {
			return nil, false, err
		}
		size += sizeOf(event)
		if len(events) == asked-1 || len(events) > 0 && size > pageBytes {
			return events, true, nil
		}
		events = append(events, eventstore.Placed{Event: event, Place: offset})
	}
	return events, false, rows.Err()
}

// given makes NULL of the zero time.
func given(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// Holder names the stream that holds a name; empty for none.
func (l *Log) Holder(ctx context.Context, name eventstore.Reservation) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var stream string
	err := l.pool.QueryRow(ctx, viewHolderSQL, name.Kind, name.Hash).Scan(&stream)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for the holder of a name: %w", err)
	}
	return stream, nil
}
