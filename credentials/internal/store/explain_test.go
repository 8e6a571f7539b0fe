package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
)

func TestExplain(t *testing.T) {
	sets, _ := Migrations()
	urls := teststack.Database(t, append(sets, database.Migrations{Schema: "read", Part: "projection_", Files: projection.Migrations})...)
	db, err := database.Open(t.Context(), urls.Owner, "x", 4)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		`INSERT INTO read.projections VALUES ('access', 2, 1)`,
		`INSERT INTO read.access SELECT g, gen_random_uuid(), 'u'||i, 'u'||i||'@example.org', 'v', 2, false, true, '{}', 2 FROM generate_series(1,50000) i, generate_series(1,2) g`,
		`INSERT INTO sessions.sessions SELECT gen_random_uuid(), user_id, 2, 1, '{}', now(), now(), now()+'30 d', current_date+37 FROM read.access WHERE generation = 2`,
		`INSERT INTO sessions.rehashed_verifiers SELECT user_id, 2, 'v', now() FROM read.access WHERE generation = 2 LIMIT 10000`,
		`ANALYZE`,
	} {
		if _, err := db.Exec(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	var id, uid string
	db.QueryRow(t.Context(), `SELECT session_id::text, user_id::text FROM sessions.sessions LIMIT 1`).Scan(&id, &uid)
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{accountByUsername, []any{"access", "u777"}}, {accountByEmail, []any{"access", "u777@example.org"}},
		{sessionWithAccount, []any{"access", id}},
		{advanceSession, []any{id, 1, 2, []time.Time{time.Now()}, time.Now(), time.Now().AddDate(0,0,30), time.Now().AddDate(0,0,37)}},
		{revokeSessions, []any{uid, time.Now(), "ended"}},
		{deleteSessions, []any{time.Now(), 1000}},
	} {
		rows, err := db.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) "+q.sql, q.args...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var l string
			rows.Scan(&l)
			fmt.Println(l)
		}
		if rows.Err() != nil { t.Fatal(rows.Err()) }
		fmt.Println("----")
	}
	for range 20 {
		db.Exec(t.Context(), advanceSession, id, 2, 2, []time.Time{time.Now()}, time.Now(), time.Now().AddDate(0,0,30), time.Now().AddDate(0,0,37))
	}
	var u, h int
	time.Sleep(1500*time.Millisecond)
	db.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname='sessions'`).Scan(&u, &h)
	fmt.Println("updates", u, "hot", h)
}
