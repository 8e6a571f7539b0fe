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
