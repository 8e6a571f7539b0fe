package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
)

// A ratio means something only where both sides have written the same.
func TestTheLogAndItsRivalWriteTheSameRows(t *testing.T) {
	t.Parallel()
	log := database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()}
	ours, rival := teststack.Database(t, log), teststack.Database(t, log)
	a, err := newArena(t.Context(), teststack.Admin(t), ours.Runtime, rival.Runtime)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	b := &bench{Runs: 1, Quick: true, progress: io.Discard, began: time.Now()}
	shapes := []shape{alone, some, tens}
	for _, s := range shapes {
		if err := b.appendAgainst(t.Context(), a, s.quickly(), atLeast(0.90)); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.report.rows) != len(shapes) {
		t.Fatalf("%d rows of %d shapes", len(b.report.rows), len(shapes))
	}
	// All but what differs by nature: offset and transaction.
	const everything = `
SELECT count(*), md5(string_agg(md5(concat_ws('|', event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                                              payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)), '' ORDER BY event_id))
FROM log.events`
	type contents struct {
		rows int
		sum  string
	}
	var found [2]contents
	for i, pool := range []*pgxpool.Pool{a.ours, a.rival} {
		if err := pool.QueryRow(t.Context(), everything).Scan(&found[i].rows, &found[i].sum); err != nil {
			t.Fatal(err)
		}
	}
	if found[0].rows == 0 || found[0] != found[1] {
		t.Errorf("the log has %+v, its rival %+v", found[0], found[1])
	}
	if err := b.importAgainst(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if table := b.report.markdown(); !strings.Contains(table, "append, 10 events a command, 8 writers") {
		t.Errorf("the table:\n%s", table)
	}
}
