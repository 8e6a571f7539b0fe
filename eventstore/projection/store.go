package projection

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
)

var (
	//go:embed queries/register.sql
	registerSQL string
	//go:embed queries/adopt_epoch.sql
	adoptEpochSQL string
	//go:embed queries/lookup.sql
	lookupSQL string
	//go:embed queries/cursor.sql
	cursorSQL string
	//go:embed queries/lock_pointer.sql
	lockPointerSQL string
	//go:embed queries/insert_streams.sql
	insertStreamsSQL string
	//go:embed queries/lock_streams.sql
	lockStreamsSQL string
	//go:embed queries/advance.sql
	advanceSQL string
	//go:embed queries/save_cursor.sql
	saveCursorSQL string
)

// store is the projection's tables.
type store struct {
	pool *pgxpool.Pool
	name string
}

// place is where the serving generation stands.
type place struct {
	generation int64
	// epoch that the generation was made from; 0 before the log was first read.
	epoch int64
	// versions applied of the streams that were asked for; 0 for none.
	versions map[string]int64
}

var (
	errNotRegistered = errors.New("projection has no pointer row")
	// errMoved: another generation serves since the lookup.
	errMoved = errors.New("projection was moved to another generation")
)

// register makes the pointer row where it is missing.
func (s *store) register(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, registerSQL, s.name); err != nil {
		return fmt.Errorf("register projection: %w", err)
	}
	return nil
}

// adoptEpoch says which epoch the first generation is made from.
func (s *store) adoptEpoch(ctx context.Context, epoch int64) error {
	if _, err := s.pool.Exec(ctx, adoptEpochSQL, s.name, epoch); err != nil {
		return fmt.Errorf("adopt epoch: %w", err)
	}
	return nil
}

// lookup reads the place without a lock.
func (s *store) lookup(ctx context.Context, streams []string) (place, error) {
	at := place{versions: make(map[string]int64, len(streams))}
	for _, stream := range streams {
		at.versions[stream] = 0
	}
	rows, err := s.pool.Query(ctx, lookupSQL, s.name, streams)
	if err != nil {
		return place{}, fmt.Errorf("look up applied versions: %w", err)
	}
	var stream *string
	var version *int64
	_, err = pgx.ForEachRow(rows, []any{&at.generation, &at.epoch, &stream, &version}, func() error {
		if stream != nil {
			at.versions[*stream] = *version
		}
		return nil
	})
	if err != nil {
		return place{}, fmt.Errorf("look up applied versions: %w", err)
	}
	if at.generation == 0 {
		return place{}, errNotRegistered
	}
	return at, nil
}

// cursor of the tail; empty for the beginning.
func (s *store) cursor(ctx context.Context) (eventstore.Cursor, error) {
	var cursor eventstore.Cursor
	err := s.pool.QueryRow(ctx, cursorSQL, s.name).Scan(&cursor)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("load cursor: %w", err)
	}
	return cursor, nil
}

// lock holds the generation, makes the missing stream rows, and locks all of
// them, in the order of the streams: two batches never wait for each other in
// a circle. It gives the versions that nobody can change now.
func (s *store) lock(ctx context.Context, tx pgx.Tx, at place, missing, streams []string) (map[string]int64, error) {
	moved := false
	versions := make(map[string]int64, len(streams))
	var batch pgx.Batch
	batch.Queue(lockPointerSQL, s.name).QueryRow(func(row pgx.Row) error {
		var generation, epoch int64
		err := row.Scan(&generation, &epoch)
		moved = generation != at.generation || epoch != at.epoch
		return err
	})
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

// advance writes the versions that are applied now, and the tail's cursor.
func (s *store) advance(ctx context.Context, tx pgx.Tx, at place, versions map[string]int64, cursor *eventstore.Cursor) error {
	var batch pgx.Batch
	if len(versions) > 0 {
		streams := make([]string, 0, len(versions))
		numbers := make([]int64, 0, len(versions))
		for stream, version := range versions {
			streams = append(streams, stream)
			numbers = append(numbers, version)
		}
		batch.Queue(advanceSQL, s.name, at.generation, at.epoch, streams, numbers)
	}
	if cursor != nil {
		batch.Queue(saveCursorSQL, s.name, at.generation, *cursor)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write applied versions: %w", err)
	}
	return nil
}
