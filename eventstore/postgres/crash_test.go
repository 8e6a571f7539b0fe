package postgres

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/secret"
)

// fragile is a log on a server of the test's own, which the test crashes.
type fragile struct {
	*Log
	admin secret.String
}

// newFragile starts a server that flushes what is committed, as in production,
// and keeps the rest in memory for longer than the test takes.
func newFragile(t *testing.T) fragile {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "server")
	t.Cleanup(func() {
		if err := devstack.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	stack, err := devstack.Start(t.Context(), devstack.Config{Dir: dir, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin := connectTo(t, stack.AdminURL)
	for _, statement := range []string{
		`ALTER SYSTEM SET wal_writer_delay = '10s'`,
		`ALTER SYSTEM SET autovacuum = off`,
		`SELECT pg_reload_conf()`,
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	urls, err := database.Provision(t.Context(), stack.AdminURL, database.Spec{
		Database: "muster_identity",
		Owner:    database.Login{Name: "muster_test_owner", Password: secret.New("muster_test_owner")},
		Runtime:  database.Login{Name: "muster_test", Password: secret.New("muster_test")},
		Schemas:  []string{Schema},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context(), urls.Owner, database.Migrations{Schema: Schema, Files: Migrations()}); err != nil {
		t.Fatal(err)
	}
	return fragile{Log: openLog(t, urls), admin: stack.AdminURL}
}

func connectTo(t *testing.T, url secret.String) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // most are dead by then
	return conn
}

// crash kills one of the server's processes with SIGKILL, upon which the server
// drops all others and its memory, and recovers. It returns when it answers.
func (f fragile) crash(t *testing.T) {
	t.Helper()
	victim, witness := connectTo(t, f.admin), connectTo(t, f.admin)
	if _, err := victim.Exec(t.Context(), `COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'`); err == nil {
		t.Fatal("the server's process has outlived its death")
	}
	if _, err := witness.Exec(t.Context(), `SELECT pg_sleep(60)`); err == nil {
		t.Fatal("the other processes were not dropped")
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(t.Context(), f.admin.Reveal())
		if err == nil {
			_ = conn.Close(t.Context()) // it answered
			f.pool.Reset()
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-again.C:
		}
	}
}

// refuse lets three appends take transaction ids and come to nothing.
func (f fragile) refuse(t *testing.T) {
	t.Helper()
	events := newEvents(t, 1)
	for i := range 4 {
		_, err := f.Append(t.Context(), eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: events})
		if i > 0 && !errors.Is(err, eventstore.ErrEventIDUsed) || i == 0 && err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

// A snapshot counts transactions whose end is not on disk yet. After a crash
// the server gives their ids out again, and a cursor would take their events
// for those that it has passed.
func TestACrashOfTheServer(t *testing.T) {
	t.Parallel()
	log := newFragile(t)

	t.Run("skips no event", func(t *testing.T) {
		log.refuse(t)
		cursor := head(t, log.Log)
		before := now(t, log.Log)
		log.crash(t)
		if now(t, log.Log).old.xmax >= before.old.xmax {
			t.Fatal("the server gives no id out again: the test proves nothing")
		}
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
		page, err := log.ReadLog(t.Context(), cursor, 100, 0)
		if !errors.Is(err, eventstore.ErrEpochChanged) {
			t.Errorf("a cursor from before: %d events, %v; want ErrEpochChanged", len(page.Events), err)
		}
		if err := compare(t, log.Log, readAll(t, log.Log, 2)); err != nil {
			t.Error(err)
		}
	})

	t.Run("ends a tick that was under way", func(t *testing.T) {
		page, err := log.ReadLog(t.Context(), "", 1, 0)
		if err != nil || page.AtHead {
			t.Fatalf("at the head %t, %v", page.AtHead, err)
		}
		log.crash(t)
		if page, err = log.ReadLog(t.Context(), page.Next, 1, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
			t.Errorf("a cursor from before: %d events, %v; want ErrEpochChanged", len(page.Events), err)
		}
	})

	t.Run("leaves the checkpoint as good as it was", func(t *testing.T) {
		log.refuse(t)
		first := lead(t, log.Log)
		page, err := first.Read(t.Context(), "", maxPage)
		if err != nil || !page.AtHead {
			t.Fatalf("at the head %t, %v", page.AtHead, err)
		}
		if err := first.Save(t.Context(), page.Next); err != nil {
			t.Fatal(err)
		}
		log.refuse(t) // one event, and ids that are lost with the crash
		log.crash(t)
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, 2)
		second := lead(t, log.Log)
		cursor, err := second.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if page, err = second.Read(t.Context(), cursor, maxPage); err != nil || len(page.Events) != 3 {
			t.Errorf("after the checkpoint %d events, %v; want the 3 that came after it", len(page.Events), err)
		}
		if page, err = second.Read(t.Context(), page.Next, maxPage); err != nil || len(page.Events) != 0 {
			t.Errorf("and then %d, %v; want none", len(page.Events), err)
		}
	})

	t.Run("into a stand-by stops the reading, and its promotion ends the lifetime", func(t *testing.T) {
		cursor := head(t, log.Log)
		// In the server's data directory; it is looked for at each start.
		if _, err := connectTo(t, log.admin).Exec(t.Context(), `COPY (SELECT 1) TO PROGRAM 'touch standby.signal'`); err != nil {
			t.Fatal(err)
		}
		log.crash(t)
		for name, after := range map[string]eventstore.Cursor{"the beginning": "", "a cursor": cursor} {
			if _, err := log.ReadLog(t.Context(), after, 1, 0); !errors.Is(err, ErrNotPrimary) {
				t.Errorf("from %s on a stand-by: %v, want ErrNotPrimary", name, err)
			}
		}
		if _, err := connectTo(t, log.admin).Exec(t.Context(), `SELECT pg_promote()`); err != nil {
			t.Fatal(err)
		}
		if _, err := log.ReadLog(t.Context(), cursor, 1, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
			t.Errorf("after the promotion: %v, want ErrEpochChanged", err)
		}
	})
}
