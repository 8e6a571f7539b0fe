package app_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/muster-id/muster/credentials/internal/app"
)

func TestTheSweeperDeletesWhatIsLongOverAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	w.login(t, "ada")
	// More than one batch, that expired two weeks ago.
	if _, err := w.db.Exec(t.Context(), `
		INSERT INTO sessions.sessions (session_id, user_id, password_version, access_version, counter, used_at, opened_at, last_used_at, expires_at, delete_on)
		SELECT gen_random_uuid(), $1, 2, 2, 1, '{}', past, past, past, past::date + 7 FROM (SELECT $2::timestamptz AS past) AS p, generate_series(1, 2500)`,
		ada.id, w.clock.Now().Add(-14*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	sweeper := app.NewSweeper(w.store, slog.New(slog.DiscardHandler), w.clock.Now)
	sweep := func(want int) {
		t.Helper()
		if err := sweeper.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := w.sessions(t); left != want {
			t.Errorf("%d sessions are left, want %d", left, want)
		}
	}
	sweep(1)
	w.clock.pass(lifetime.Idle + 6*24*time.Hour) // expired, and kept for a while to say so
	sweep(1)
	w.clock.pass(24 * time.Hour)
	sweep(0)
}
