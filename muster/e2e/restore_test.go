package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// An operator takes identity's log back to an earlier dump while everything runs,
// with all projections ahead of it. Who was registered before the dump goes on;
// who was registered after it is gone everywhere, and may register again; tokens
// from after it are answered with "again, without it".
func TestALogIsRestoredUnderEverybody(t *testing.T) {
	s := start(t)
	ada, boss := s.joins(t, "ada-restored"), s.admin(t)
	dump := filepath.Join(t.TempDir(), "identity.dump")
	s.postgres(t, "pg_dump", "--schema=log", "--format=custom", "--file", dump)

	bob := somebody("bob-lost")
	registered := s.call(t, "AuthService/Register", bob).ok(t)
	s.signsIn(t, bob)
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Augusta"}, ada.token).ok(t)

	s.postgres(t, "pg_restore", "--clean", "--if-exists", "--single-transaction", "--exit-on-error", dump)
	eventually(t, 60*time.Second, "bob is gone", func() bool {
		got := s.call(t, "AuthService/Login", bob.login())
		return got.status == http.StatusUnauthorized
	})
	withToken := bob.login()
	withToken["consistencyToken"] = registered.text("consistencyToken")
	eventually(t, 60*time.Second, "a token from after the dump is refused", func() bool {
		got := s.call(t, "AuthService/Login", withToken)
		return got.detail != nil && got.detail.GetReason() == "CONSISTENCY_TOKEN_INVALID"
	})
	s.call(t, "AuthService/Login", withToken).refused(t, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "")
	again := s.signsIn(t, ada.person)
	if me := s.call(t, "UserService/GetMe", map[string]any{}, again.token).ok(t); me.user()["firstName"] != ada.FirstName {
		t.Errorf("the profile is not that of the dump: %s", me.raw)
	}
	eventually(t, 60*time.Second, "the list of people is that of the dump", func() bool {
		listed := s.call(t, "AdminService/ListUsers", map[string]any{"username": bob.Username}, boss.token)
		return listed.status == http.StatusOK && len(listed.list("users")) == 0
	})
	s.joins(t, bob.Username)
	s.says(t, "log", "status").is(t, 0, "identity: offset", "media: offset", "the log was opened for the first time", "epoch")
	for _, name := range []string{"access", "users"} {
		// Refused while the rows are made anew.
		eventually(t, 60*time.Second, name+" is what the events make", func() bool { return s.says(t, "projection", "verify", name).status == 0 })
	}
	// An operator who knows of a fault that nobody can see says so.
	s.says(t, "log", "rebase", "identity", "--reason", "a disk was swapped").is(t, 0, "identity is in epoch")
	s.says(t, "log", "status").is(t, 0, "demanded by an operator: a disk was swapped")
	s.says(t, "log", "rebase", "identity").is(t, 2, "--reason")
	s.says(t, "log", "rebase", "nobody", "--reason", "why").is(t, 1, "there is no such log")
	s.signsIn(t, ada.person)
	select {
	case err := <-s.Failed():
		t.Errorf("the system gave up: %v", err)
	default:
	}
}

// postgres runs one of PostgreSQL's own programs on identity's database.
func (s *world) postgres(t *testing.T, program string, arguments ...string) {
	t.Helper()
	var folder string
	for _, server := range s.Servers.Servers() {
		if server.Name == "PostgreSQL" {
			path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", server.PID))
			if err != nil {
				t.Fatal(err)
			}
			folder = filepath.Dir(path)
		}
	}
	database, err := url.Parse(s.Servers.AdminURL.Reveal())
	if err != nil {
		t.Fatal("the server's address is not a URL")
	}
	database.Path = "/muster_identity"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(folder, program), append(arguments, "--dbname", database.String())...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}
