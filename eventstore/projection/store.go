package projection

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
)

var (
	//go:embed queries/register.sql
	registerSQL string
	//go:embed queries/serving.sql
	servingSQL string
	//go:embed queries/adopt_epoch.sql
	adoptEpochSQL string
	//go:embed queries/lookup.sql
	lookupSQL string
	//go:embed queries/lookup_generation.sql
	lookupGenerationSQL string
	//go:embed queries/settings.sql
	settingsSQL string
	//go:embed queries/lookup_settings.sql
	lookupSettingsSQL string
	//go:embed queries/move_feeding.sql
	moveFeedingSQL string
	//go:embed queries/lock_pointer.sql
	lockPointerSQL string
	//go:embed queries/lock_generation.sql
	lockGenerationSQL string
	//go:embed queries/insert_streams.sql
	insertStreamsSQL string
	//go:embed queries/lock_streams.sql
	lockStreamsSQL string
	//go:embed queries/parked_among.sql
	parkedAmongSQL string
	//go:embed queries/advance.sql
	advanceSQL string
	//go:embed queries/advance_generation.sql
	advanceGenerationSQL string
	//go:embed queries/move_cursor.sql
	moveCursorSQL string
)

// byKey begins a transaction with its settings, in one message.
var byKey = pgx.TxOptions{BeginQuery: "BEGIN;\n" + settingsSQL}

// store is the projection's tables.
type store struct {
	pool *pgxpool.Pool
	name string
}

// place is where a generation stands: the one that serves, or one that is fed
// beside it.
type place struct {
	generation int64
	// epoch that the generation is made from; 0 before the log was first read.
	epoch int64
	// incarnation of the database's tables.
	incarnation uuid.UUID
	// versions applied of the streams that were asked for; 0 for none.
	versions map[string]int64
	// parked are those of the streams that wait behind an event.
	parked map[string]bool
	// feeding is the lease on a generation that does not serve; nil for the one
	// that does.
	feeding *feeding
	// looks: versions are looked up again under the lock, since a transaction of
	// before may have ended after the look without it.
	looks bool
	// held: the pointer row is held already, so that nobody else changes the rows
	// that serve, and we need not take it.
	held bool
}

// know begins to know about streams.
func (at *place) know(streams []string) {
	at.versions = make(map[string]int64, len(streams))
	at.parked = map[string]bool{}
	for _, stream := range streams {
		at.versions[stream] = 0
	}
}

var (
	// It has one as soon as its process has reached the database.
	errNotRegistered = fmt.Errorf("%w: the projection has no pointer row yet", ErrAway)
	// errMoved: what was looked up is not so any more: another generation serves,
	// a stream was parked or tried again, or a lease has ended.
	errMoved = errors.New("projection was changed by another process")
	// errLost: the tables were lost and made again since the projection began.
	errLost = errors.New("the projection's tables were made anew")
)

// register makes the pointer row where it is missing.
func (s *store) register(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, registerSQL, s.name); err != nil {
		return fmt.Errorf("register projection: %w", err)
	}
	return nil
}

// serving is the generation that serves, and where its tail has got to; the
// cursor is empty for the beginning.
func (s *store) serving(ctx context.Context) (at place, cursor eventstore.Cursor, err error) {
	err = s.pool.QueryRow(ctx, servingSQL, s.name).Scan(&at.incarnation, &at.generation, &cursor)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNotRegistered
	}
	if err != nil {
		return place{}, "", fmt.Errorf("load cursor: %w", err)
	}
	return at, cursor, nil
}

// adoptEpoch says which epoch the first generation is made from.
func (s *store) adoptEpoch(ctx context.Context, epoch int64) error {
	if _, err := s.pool.Exec(ctx, adoptEpochSQL, s.name, epoch); err != nil {
		return fmt.Errorf("adopt epoch: %w", err)
	}
	return nil
}

// lookup reads the serving generation's place without a lock.
func (s *store) lookup(ctx context.Context, streams []string) (place, error) {
	var at place
	at.know(streams)
	var batch pgx.Batch // one transaction, so the settings hold for what comes behind them
	batch.Queue(lookupSettingsSQL)
	batch.Queue(lookupSQL, s.name, streams).Query(func(rows pgx.Rows) error {
		var stream *string
		var version *int64
		var parked bool
		_, err := pgx.ForEachRow(rows, []any{&at.incarnation, &at.generation, &at.epoch, &stream, &version, &parked}, func() error {
			if stream != nil {
				at.versions[*stream] = *version
			}
			if parked {
				at.parked[*stream] = true
			}
			return nil
		})
		return err
	})
	err := s.pool.SendBatch(ctx, &batch).Close()
	if err != nil {
		return place{}, fmt.Errorf("look up applied versions: %w", err)
	}
	if at.generation == 0 {
		return place{}, errNotRegistered
	}
	return at, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// lookupIn reads what is applied of streams in a generation that is fed, into
// what the place knows.
func (s *store) lookupIn(ctx context.Context, at place, streams []string) error {
	return s.lookupUnder(ctx, s.pool, at, streams)
}

func (s *store) lookupUnder(ctx context.Context, in querier, at place, streams []string) error {
	rows, err := in.Query(ctx, lookupGenerationSQL, pgx.QueryExecModeCacheDescribe, s.name, at.generation, at.epoch, streams)
	if err != nil {
		return fmt.Errorf("look up applied versions: %w", err)
	}
	var stream string
	var version int64
	var parked bool
	_, err = pgx.ForEachRow(rows, []any{&stream, &version, &parked}, func() error {
		at.versions[stream] = version
		if parked {
			at.parked[stream] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up applied versions: %w", err)
	}
	return nil
}

// lock holds the generation and gives the versions that nobody can change now.
func (s *store) lock(ctx context.Context, tx pgx.Tx, at place, missing, streams []string) (map[string]int64, error) {
	if at.feeding != nil {
		return s.lockFed(ctx, tx, at, streams)
	}
	return s.lockServing(ctx, tx, at, missing, streams)
}

// lockFed locks the lease, which is all that one feeder needs.
func (s *store) lockFed(ctx context.Context, tx pgx.Tx, at place, streams []string) (map[string]int64, error) {
	if err := s.lockGeneration(ctx, tx, at); err != nil || !at.looks || len(streams) == 0 {
		return at.versions, err
	}
	at.know(streams)
	err := s.lookupUnder(ctx, tx, at, streams)
	return at.versions, err
}

// lockServing makes the missing stream rows and locks all of them, in the order
// of the streams: two batches never wait for each other in a circle.
func (s *store) lockServing(ctx context.Context, tx pgx.Tx, at place, missing, streams []string) (map[string]int64, error) {
	moved := false
	versions := make(map[string]int64, len(streams))
	var batch pgx.Batch
	if !at.held {
		batch.Queue(lockPointerSQL, s.name).QueryRow(func(row pgx.Row) error {
			now := place{}
			err := row.Scan(&now.incarnation, &now.generation, &now.epoch)
			moved = now.generation != at.generation || now.epoch != at.epoch || now.incarnation != at.incarnation
			return err
		})
	}
	if len(missing) > 0 {
		batch.Queue(insertStreamsSQL, s.name, at.generation, at.epoch, missing)
	}
	if len(streams) > 0 {
		batch.Queue(lockStreamsSQL, s.name, at.generation, at.epoch, streams).Query(func(rows pgx.Rows) error {
			var stream string
			var version int64
			_, err := pgx.ForEachRow(rows, []any{&stream, &version}, func() error {
				versions[stream] = version
				return nil
			})
			return err
		})
	}
	// Parked by another process since the look: what is applied now would leave its
	// stream waiting for nothing.
	if len(streams) > 0 {
		batch.Queue(parkedAmongSQL, s.name, at.generation, streams).Query(func(rows pgx.Rows) error {
			var stream string
			_, err := pgx.ForEachRow(rows, []any{&stream}, func() error {
				moved = moved || !at.parked[stream]
				return nil
			})
			return err
		})
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("lock streams: %w", err)
	}
	if moved {
		return nil, errMoved
	}
	if len(versions) != len(streams) {
		return nil, fmt.Errorf("lock streams: %d of %d rows are of this epoch", len(versions), len(streams))
	}
	return versions, nil
}

// lockGeneration makes sure that the generation is still ours to feed, for what
// it was when we began.
func (s *store) lockGeneration(ctx context.Context, tx pgx.Tx, at place) error {
	var state GenerationState
	var epoch int64
	err := tx.QueryRow(ctx, lockGenerationSQL, s.name, at.generation, at.feeding.worker).Scan(&state, &epoch)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (state != at.feeding.state || epoch != at.epoch) {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("lock generation: %w", err)
	}
	return nil
}

// advance writes the versions that are applied now, and how far the log was read.
func (s *store) advance(ctx context.Context, tx pgx.Tx, at place, advanced []advance, cursor *eventstore.Cursor) error {
	var batch pgx.Batch
	if len(advanced) > 0 {
		streams := make([]string, len(advanced))
		versions := make([]int64, len(advanced))
		for i, a := range advanced {
			streams[i], versions[i] = a.stream, a.version
		}
		statement := advanceSQL
		if at.feeding != nil {
			statement = advanceGenerationSQL
		}
		batch.Queue(statement, s.name, at.generation, at.epoch, streams, versions)
	}
	switch {
	case cursor == nil:
	case at.feeding == nil:
		batch.Queue(moveCursorSQL, s.name, at.generation, *cursor)
	default:
		batch.Queue(moveFeedingSQL, s.name, at.generation, *cursor, leaseTime)
		batch.Queue(progressSQL, s.name, at.generation, at.feeding.done, at.feeding.left, at.feeding.rate.perSecond(time.Now()))
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write applied versions: %w", err)
	}
	return nil
}
