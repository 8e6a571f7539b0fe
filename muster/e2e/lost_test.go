package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/teststack"
)

// An operator drops credentials' database while people register and sign in, and
// does nothing about it. Registering goes on; whoever signs in is asked to come
// back; then everybody is there, and only sessions are gone.
func TestCredentialsDatabaseDroppedInUse(t *testing.T) {
	s := start(t)
	ada := s.joins(t, "ada-before")
	boss := s.admin(t)
	teststack.DropAt(t, s.Servers.AdminURL, s.Databases["credentials"])

	var registered []person
	signedIn := func(p person) bool {
		t.Helper()
		got := s.call(t, "AuthService/Login", p.login())
		if got.status == http.StatusOK {
			return true
		}
		if got.status != http.StatusServiceUnavailable && got.status != http.StatusGatewayTimeout || got.detail == nil {
			t.Fatalf("login of %s while accounts are made: %d %s", p.Username, got.status, got.raw)
		}
		return false
	}
	eventually(t, 60*time.Second, "people sign in again", func() bool {
		// The token from before is good, and identity knows nothing of all this.
		s.call(t, "UserService/GetMe", map[string]any{}, ada.token).ok(t)
		p := somebody("meanwhile-" + string(rune('a'+len(registered)%26)) + string(rune('a'+len(registered)/26)))
		s.call(t, "AuthService/Register", p).ok(t)
		registered = append(registered, p)
		return signedIn(ada.person)
	})
	for _, p := range registered {
		eventually(t, 10*time.Second, p.Username+" signs in", func() bool { return signedIn(p) })
	}
	refused := s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": ada.refresh})
	if refused.detail == nil || refused.detail.GetReason() != "SESSION_REVOKED" {
		t.Errorf("the session from before: %d %s", refused.status, refused.raw)
	}
	again := s.signsIn(t, ada.person)
	s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": again.refresh}).ok(t)
	s.call(t, "UserService/GetMe", map[string]any{}, again.token).ok(t)
	s.call(t, "AdminService/ListUsers", map[string]any{}, boss.token).ok(t)
	select {
	case err := <-s.Failed():
		t.Errorf("the system gave up: %v", err)
	default:
	}
}
