package postgres

import (
	"cmp"
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

//go:embed queries/epoch_current.sql
var epochCurrentSQL string

//go:embed queries/epoch_incarnation.sql
var epochIncarnationSQL string

//go:embed queries/epoch_start.sql
var epochStartSQL string

//go:embed queries/epoch_writers.sql
var epochWritersSQL string

const (
	// epochLock is the advisory lock under which epochs begin.
	epochLock = 0x6d75737465720001 // "muster", 1
	// recognized marks a connection with the Log that knows its incarnation: another
	// one of the same pool has to find out by itself.
	recognized = "muster.log.recognized"
	// firstOpened is why a log's first epoch began.
	firstOpened = "the log was opened for the first time"
	// writersEvery is how often writers are looked for that have to end.
	writersEvery = 10 * time.Millisecond
)

// errOtherEpoch: the database has another epoch than this process knows of.
var errOtherEpoch = errors.New("the log has entered another epoch")

// setBackError says that a reader has seen what the log has not. Nothing is ever
// taken out of a log, so it was set back to an earlier state: a disk was, for
// instance, in a way that changes neither the cluster nor its timeline.
type setBackError struct {
	// seen is the epoch that the reader has seen.
	seen int64
	// what it has seen.
	what string
}

func (e *setBackError) Error() string { return "a reader has seen " + e.what }

// incarnation is where transaction ids mean the same thing.
type incarnation struct {
	system   int64
	timeline int32
	events   uint32
}

// other tells why the log is not the one that was seen last; empty where it is.
func (i incarnation) other(seen incarnation) string {
	switch {
	case i.system != seen.system:
		return "another cluster: the database was restored into it or moved"
	case i.timeline != seen.timeline:
		return "another timeline: a stand-by was promoted, or the cluster was restored to a point in time"
	case i.events != seen.events:
		return "another table of events: the database was restored in its place"
	}
	return ""
}

// epoch is an incarnation's number, and the last offset of all former ones.
type epoch struct{ number, start int64 }

// acquire gives a connection that reaches the epoch which this process knows. It
// asks each connection once, when it is new: whoever restores a log, or puts
// another server in its place, cuts those that are open.
func (l *Log) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("acquire a connection: %w", err)
	}
	if err := l.recognize(ctx, conn.Conn()); err != nil {
		conn.Release()
		return nil, refusal(err)
	}
	return conn, nil
}

// recognize enters the epoch that a connection reaches, where that is not known.
func (l *Log) recognize(ctx context.Context, conn *pgx.Conn) error {
	known := conn.PgConn().CustomData()
	if known[recognized] == any(l) {
		return nil
	}
	if err := l.enter(ctx, conn); err != nil {
		return err
	}
	known[recognized] = l
	return nil
}

// enter enters the epoch of the incarnation that a connection reaches, and begins
// it where it has none.
func (l *Log) enter(ctx context.Context, conn *pgx.Conn) error {
	entered, other, err := currentEpoch(ctx, conn)
	if err != nil {
		return err
	}
	if other != "" {
		return l.begin(ctx, conn, entered.number, 0, "")
	}
	l.adopt(ctx, entered, "")
	return nil
}

// begin begins an epoch for a reason, and one with a greater number than any that
// was seen, unless another process has: then the epoch is not the believed one.
func (l *Log) begin(ctx context.Context, conn *pgx.Conn, believed, seen int64, reason string) error {
	begun, reason, err := beginEpoch(ctx, conn, believed, seen, reason)
	if err != nil {
		return fmt.Errorf("begin an epoch: %w", err)
	}
	l.adopt(ctx, begun, reason)
	return nil
}

// adopt reads under an epoch from now on, begun for a reason or found there.
func (l *Log) adopt(ctx context.Context, entered epoch, reason string) {
	for {
		former := l.current.Load()
		if former != nil && former.epoch == entered.number {
			return
		}
		next := newReader(l.name, entered.number, entered.start)
		if !l.current.CompareAndSwap(former, &next) {
			continue
		}
		if former != nil || reason != "" && reason != firstOpened {
			l.logger.WarnContext(ctx, "the log has entered a new epoch: former cursors and tokens are refused, and projections are rebuilt",
				"epoch", entered.number, "former_up_to_offset", entered.start, "reason", cmp.Or(reason, "begun by another process"))
		}
		return
	}
}

// Rebase begins a new epoch, as a restored log does by itself: every cursor and
// token is refused from now on, and every projection made anew. It is for a log
// of which an operator knows that it is not what its readers have seen.
func (l *Log) Rebase(ctx context.Context, reason string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebase log: %w", err)
	}
	defer conn.Release()
	if err := l.enter(ctx, conn.Conn()); err != nil {
		return 0, fmt.Errorf("rebase log: %w", err)
	}
	if err := l.begin(ctx, conn.Conn(), l.Epoch(), 0, "demanded by an operator: "+reason); err != nil {
		return 0, fmt.Errorf("rebase log: %w", err)
	}
	return l.Epoch(), nil
}

// page reads a page under the epoch that the database has.
func (l *Log) page(ctx context.Context, conn *pgx.Conn, filter eventstore.Filter, after eventstore.Cursor, limit int) (eventstore.Page, error) {
	for range 3 {
		reader := l.reader()
		page, err := reader.page(ctx, conn, filter, after, limit)
		var back *setBackError
		switch {
		case errors.Is(err, errOtherEpoch):
			err = l.enter(ctx, conn)
		case errors.As(err, &back):
			err = l.begin(ctx, conn, reader.epoch, back.seen, "set back to an earlier state: "+back.Error())
		default:
			return page, err
		}
		if err != nil {
			return eventstore.Page{}, err
		}
	}
	return eventstore.Page{}, eventstore.ErrEpochChanged
}

// beginEpoch begins an epoch and tells why; processes that do so at once wait for
// one another, and all but one find it begun.
func beginEpoch(ctx context.Context, conn *pgx.Conn, believed, seen int64, reason string) (begun epoch, why string, err error) {
	// Each statement has to see what was committed while the one before it waited.
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(epochLock)); err != nil {
			return err
		}
		current, other, err := currentEpoch(ctx, tx)
		if err != nil {
			return err
		}
		if why = other; why == "" {
			why = reason
		}
		if other == "" && (current.number != believed || reason == "") {
			begun, why = current, ""
			return nil
		}
		if err := tx.QueryRow(ctx, lastOffsetSQL).Scan(&begun.start); err != nil {
			return err
		}
		if err := awaitWriters(ctx, tx); err != nil {
			return err
		}
		here, err := whichIncarnation(ctx, tx)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, epochStartSQL, here.system, here.timeline, here.events, begun.start, seen, why).Scan(&begun.number)
	})
	return begun, why, err
}

// awaitWriters waits for the end of all transactions that are writing to the log.
// Rows up to the start of an epoch are read once, by their offsets, so none of
// them may be committed later.
func awaitWriters(ctx context.Context, tx pgx.Tx) error {
	var writing []string
	for first := true; first || len(writing) > 0; first = false {
		if !first {
			if err := backoff.Sleep(ctx, writersEvery); err != nil {
				return fmt.Errorf("wait for those who write to the log: %w", err)
			}
		}
		if err := tx.QueryRow(ctx, epochWritersSQL, writing).Scan(&writing); err != nil {
			return err
		}
	}
	return nil
}

// currentEpoch is the last epoch of the log, and why it is not that of the
// incarnation which is reached; empty where it is.
func currentEpoch(ctx context.Context, db querier) (current epoch, other string, err error) {
	var seen incarnation
	err = db.QueryRow(ctx, epochCurrentSQL).Scan(&current.number, &seen.system, &seen.timeline, &seen.events, &current.start)
	if errors.Is(err, pgx.ErrNoRows) {
		return epoch{}, firstOpened, nil
	}
	if err != nil {
		return epoch{}, "", fmt.Errorf("read the epoch: %w", err)
	}
	here, err := whichIncarnation(ctx, db)
	if err != nil {
		return epoch{}, "", err
	}
	return current, here.other(seen), nil
}

func whichIncarnation(ctx context.Context, db querier) (incarnation, error) {
	var here incarnation
	if err := db.QueryRow(ctx, epochIncarnationSQL).Scan(&here.system, &here.timeline, &here.events); err != nil {
		return incarnation{}, fmt.Errorf("read the log's incarnation: %w", notPrimary(err))
	}
	return here, nil
}
