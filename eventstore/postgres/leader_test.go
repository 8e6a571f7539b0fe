package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
)

func lead(t testing.TB, log *Log) *Leadership {
	t.Helper()
	leadership, err := log.Lead(t.Context(), "forwarder")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leadership.Close)
	return leadership
}

func TestOneProcessLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	first := lead(t, log.Log)
	if cursor, err := first.Checkpoint(t.Context()); err != nil || cursor != "" {
		t.Fatalf("a first checkpoint of %q, %v", cursor, err)
	}
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 3)
	page, err := first.Read(t.Context(), "", 2)
	if err != nil || len(page.Events) != 2 {
		t.Fatalf("read %d events, %v; want 2", len(page.Events), err)
	}
	if err := first.Save(t.Context(), page.Next); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := log.Lead(ctx, "forwarder"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second leader: %v, want to wait", err)
	}
	other, err := log.Lead(t.Context(), "another reader")
	if err != nil {
		t.Fatal(err)
	}
	other.Close()

	first.Close()
	first.Close() // twice does nothing
	if err := first.Save(t.Context(), page.Next); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("a save after the end: %v, want ErrLeadershipLost", err)
	}
	second := lead(t, log.Log)
	cursor, err := second.Checkpoint(t.Context())
	if err != nil || cursor != page.Next {
		t.Fatalf("took over at %q, %v; want %q", cursor, err, page.Next)
	}
	if page, err := second.Read(t.Context(), cursor, 10); err != nil || len(page.Events) != 1 {
		t.Errorf("read %d events, %v; want the last", len(page.Events), err)
	}
}

func TestALostConnectionEndsTheLeadership(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	first := lead(t, log.Log)
	if _, err := log.pool.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, first.conn.PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	second := lead(t, log.Log)
	if err := first.Save(t.Context(), "x"); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("save: %v, want ErrLeadershipLost", err)
	}
	if _, err := first.Read(t.Context(), "", 1); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("read: %v, want ErrLeadershipLost", err)
	}
	if _, err := first.Checkpoint(t.Context()); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("checkpoint: %v, want ErrLeadershipLost", err)
	}
	if err := first.Wait(t.Context(), time.Minute); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("wait: %v, want ErrLeadershipLost", err)
	}
	if err := second.Save(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestASupersededLeaderCannotSave(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	first := lead(t, log.Log)
	log.asOwner(t, `UPDATE log.forwarder_checkpoint SET fence = fence + 1`)
	if err := first.Save(t.Context(), "x"); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("%v, want ErrLeadershipLost", err)
	}
}

func TestALeaderIsWokenByAnAppend(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	run(t, log.Log)
	leadership := lead(t, log.Log)
	began := time.Now()
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	if err := leadership.Wait(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("woken after %s", took)
	}
	// That nothing comes is no fault, and leaves the connection whole.
	for range 3 {
		if err := leadership.Wait(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := leadership.Wait(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is given up: %v, want Canceled", err)
	}
	if _, err := leadership.Read(t.Context(), "", 1); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestNotificationsThatHaveGatheredAreOneWaking(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	leadership := lead(t, log.Log)
	if _, err := log.pool.Exec(t.Context(), `SELECT pg_notify($1, i::text) FROM generate_series(1, 3000) AS i`, channel); err != nil {
		t.Fatal(err)
	}
	wakings := 0
	for told := true; told; wakings++ {
		// As the forwarder does; the answer brings what was told meanwhile.
		if _, err := leadership.Read(t.Context(), "", 1); err != nil {
			t.Fatal(err)
		}
		var err error
		if told, err = waitForNotification(t.Context(), leadership.conn, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if wakings < 2 || wakings > 20 {
		t.Errorf("%d reads after 3000 notifications", wakings)
	}
}
