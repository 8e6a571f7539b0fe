package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a log in a database of its own.
type fixture struct {
	*Log
	urls database.URLs
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: Schema, Files: Migrations()})
	return fixture{Log: openLog(t, urls), urls: urls}
}

func openLog(t testing.TB, urls database.URLs) *Log {
	t.Helper()
	log, err := Open(t.Context(), openPool(t, urls.Runtime), "identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func openPool(t testing.TB, url secret.String) *pgxpool.Pool {
	t.Helper()
	pool, err := database.Open(t.Context(), url, "test", 40)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// asOwner runs a statement that the run-time role may not.
func (f fixture) asOwner(t testing.TB, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.urls.Owner.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// run starts the log's background work and stops it before the test ends.
func run(t testing.TB, log *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func newEvents(t testing.TB, n int) []eventstore.Event {
	t.Helper()
	events := make([]eventstore.Event, n)
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		events[i] = eventstore.Event{
			ID: id, Type: "test.v1.Happened", SchemaVersion: 1,
			OccurredAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Payload: []byte(`{"n": 1}`),
			Metadata: eventstore.Metadata{Actor: "service-test", RequestID: "r-1"},
		}
	}
	return events
}

func newStream() string { return "thing-" + uuid.NewString() }

// mustAppend appends n events after a version.
func mustAppend(t testing.TB, log *Log, stream string, expected eventstore.ExpectedVersion, n int) {
	t.Helper()
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected, Events: newEvents(t, n)}); err != nil {
		t.Fatal(err)
	}
}

// head is the cursor after all events.
func head(t testing.TB, log *Log) eventstore.Cursor {
	t.Helper()
	page, err := log.ReadLog(t.Context(), "", maxPage, 0)
	if err != nil || !page.AtHead {
		t.Fatalf("at the head %t, %v", page.AtHead, err)
	}
	return page.Next
}

// now is the present place.
func now(t testing.TB, log *Log) place {
	t.Helper()
	at, _, err := log.reader().here(t.Context(), log.pool)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// readAll reads to the head.
func readAll(t testing.TB, log *Log, limit int) []eventstore.Event {
	t.Helper()
	var all []eventstore.Event
	for cursor, pages := eventstore.Cursor(""), 0; ; pages++ {
		page, err := log.ReadLog(t.Context(), cursor, limit, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) > limit {
			t.Fatalf("a page of %d events, asked for %d", len(page.Events), limit)
		}
		all = append(all, page.Events...)
		if cursor = page.Next; page.AtHead {
			return all
		}
		if pages > 100_000 {
			t.Fatal("the head is never reached")
		}
	}
}
