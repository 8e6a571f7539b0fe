package app_test

import (
	"errors"
	"testing"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/platform/secret"
)

func TestLogoutEndsItsOwnSessionAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	here, there := w.login(t, "ada").Tokens.Refresh, w.login(t, "ada").Tokens.Refresh
	newest := w.refresh(t, here).Refresh
	for _, token := range []secret.String{here, newest, here} { // a replaced token ends its session too
		if err := w.Logout(t.Context(), app.Logout{Token: token}); err != nil {
			t.Errorf("logout: %v", err)
		}
	}
	w.refused(t, newest, session.ErrRevoked)
	w.refresh(t, there)
	if err := w.Logout(t.Context(), app.Logout{Token: secret.New("nonsense")}); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("a forged token: %v, want ErrInvalid", err)
	}
}

func TestEndSessionsEndsAllOfOnePersonAndCountsThoseAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	w.join(t, "bob")
	expired := w.login(t, "ada").Tokens.Refresh
	w.clock.pass(lifetime.Idle)
	over, first, second := w.login(t, "ada").Tokens.Refresh, w.login(t, "ada").Tokens.Refresh, w.login(t, "ada").Tokens.Refresh
	bobs := w.login(t, "bob").Tokens.Refresh
	if err := w.Logout(t.Context(), app.Logout{Token: over}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2, 0} {
		ended, err := w.EndSessions(t.Context(), app.EndSessions{UserID: ada.id})
		if err != nil || ended != want {
			t.Errorf("EndSessions = %d, %v; want %d", ended, err, want)
		}
	}
	w.refused(t, first, session.ErrRevoked)
	w.refused(t, second, session.ErrRevoked)
	w.refused(t, expired, session.ErrExpired)
	w.refresh(t, bobs)
}
