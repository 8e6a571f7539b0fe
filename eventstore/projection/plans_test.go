package projection

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A table that was never analyzed is taken for one row a projection. What goes
// into the rows must not compare each of them with each stream of a batch.
func TestABatchIsJoinedByItsStreamsInATableThatWasNeverAnalyzed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.projector()
	_, _, ok := p.begin(t.Context())
	if !ok {
		t.Fatal("not begun")
	}
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO read.applied (projection, generation, stream_id, epoch, version)
		SELECT 'tallies', 1, 'user-' || n, 1, 1 FROM generate_series(1, 20000) AS n`); err != nil {
		t.Fatal(err)
	}
	var streams []string
	var versions []int64
	for n := range batchLimit {
		streams, versions = append(streams, fmt.Sprintf("user-%d", n*7+1)), append(versions, 2)
	}
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), settingsSQL); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+advanceSQL, "tallies", 1, 1, streams, versions)
		if err != nil {
			return err
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if text := strings.Join(plan, "\n"); strings.Contains(text, "Removed by Join Filter") || !strings.Contains(text, "rows=500") {
			t.Error(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// As long as a table is small, the planner takes a hundred of its rows for most
// of them. A batch must not read all that are there, however many that are.
func TestABatchReadsNoTableAsAWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.projector()
	if _, _, ok := p.begin(t.Context()); !ok {
		t.Fatal("not begun")
	}
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO read.applied (projection, generation, stream_id, epoch, version)
		SELECT 'tallies', 1, 'user-' || n, 1, 1 FROM generate_series(1, 3000) AS n`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(t.Context(), `ANALYZE read.applied`); err != nil {
		t.Fatal(err)
	}
	var streams []string
	var versions []int64
	for n := range 100 {
		streams, versions = append(streams, fmt.Sprintf("user-%d", n*7+1)), append(versions, 2)
	}
	for name, statement := range map[string]struct {
		sql       string
		arguments []any
	}{
		"look up": {lookupSQL, []any{"tallies", streams}},
		"lock":    {lockStreamsSQL, []any{"tallies", 1, 1, streams}},
		"advance": {advanceSQL, []any{"tallies", 1, 1, streams, versions}},
	} {
		err := pgx.BeginTxFunc(t.Context(), b.pool, byKey, func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS OFF) "+statement.sql, statement.arguments...)
			if err != nil {
				return err
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan on applied") || strings.Contains(text, "Hash") {
				t.Errorf("%s:\n%s", name, text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
