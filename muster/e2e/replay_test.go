package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// muster runs the command line on the services of a world, as an operator does.
func (s *world) muster(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	return command(t, append(arguments, "--certificates", s.Certificates,
		"--identity", "https://"+s.Services["identity"], "--credentials", "https://"+s.Services["credentials"], "--media", "https://"+s.Services["media"])...)
}

// said is what a command has said and its exit status.
type said struct {
	status int
	text   string
}

func (s *world) says(t *testing.T, arguments ...string) said {
	t.Helper()
	text, err := s.muster(t, arguments...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return said{exit.ExitCode(), string(text)}
	case err != nil:
		t.Fatal(err)
	}
	return said{0, string(text)}
}

// is fails the test unless the status is this one and all texts were said.
func (got said) is(t *testing.T, status int, texts ...string) {
	t.Helper()
	if got.status != status {
		t.Fatalf("exit status %d, want %d:\n%s", got.status, status, got.text)
	}
	for _, text := range texts {
		if !strings.Contains(got.text, text) {
			t.Errorf("it does not say %q:\n%s", text, got.text)
		}
	}
}

// database connects to credentials' own, as the service does.
func (s *world) database(t *testing.T) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), s.Databases["credentials"].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.WithoutCancel(t.Context())) })
	return connection
}

// The operator's way: what somebody changed by hand is found without its value
// being shown, a rebuild mends it, and there is a way back until it is dropped.
// Not beside others, since operations on one database go one at a time.
func TestReplayByCommandLine(t *testing.T) {
	s := shared(t)
	ada := s.joins(t, "ada-replayed")
	s.says(t, "projection", "list").is(t, 0, "access", "credentials", "live", "avatars", "files", "users")
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")

	const byHand = "changed-by-hand-canary"
	changed, err := s.database(t).Exec(t.Context(), `UPDATE read.access SET username = $1, roles = '{admin}' WHERE user_id = $2`, byHand, ada.id)
	if err != nil || changed.RowsAffected() != 1 {
		t.Fatalf("changed %d rows: %v", changed.RowsAffected(), err)
	}
	found := s.says(t, "projection", "verify", "access")
	found.is(t, 1, "read.access user_id="+ada.id+": differs", "username: [redacted] serves", `roles: ["admin"] serves`, "1 of ", "muster projection rebuild access")
	if strings.Contains(found.text, byHand) || strings.Contains(found.text, ada.Username) {
		t.Errorf("it shows what is personal:\n%s", found.text)
	}

	s.says(t, "projection", "rebuild", "access").is(t, 0, "rebuilt access", "is kept, and kept up to date")
	s.call(t, "AuthService/Login", ada.login()).ok(t)
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")

	// Back to the rows that were changed by hand, and forth again.
	s.says(t, "projection", "rollback", "access").is(t, 0, "serves again")
	s.says(t, "projection", "verify", "access").is(t, 1, "1 of ")
	s.says(t, "projection", "rollback", "access").is(t, 0, "serves again")
	s.says(t, "projection", "drop", "access").is(t, 0, "is being deleted")
	s.says(t, "projection", "rollback", "access").is(t, 1, "There are no former rows")
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")
	s.says(t, "projection", "rebuild", "acces").is(t, 1, "access")
	s.says(t, "parked", "list").is(t, 0, "no event is parked")
}

// While one is under way a second is refused with its name. Ctrl-C gives the
// first up, and what it made is gone by the time that the command ends.
func TestASecondReplayIsRefusedAndTheFirstGivenUp(t *testing.T) {
	s := shared(t)
	ada := s.joins(t, "ada-given-up")
	// What is built cannot be written meanwhile, so that it stays under way.
	held, err := s.database(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(context.WithoutCancel(t.Context()))
	if _, err := held.Exec(t.Context(), `LOCK TABLE read.access IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	first := s.muster(t, "projection", "rebuild", "access")
	way, err := first.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var outcome strings.Builder
	first.Stdout = &outcome
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(way)
	begun, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(begun, "rebuild of access into generation") {
		t.Fatalf("%q: %v", begun, err)
	}
	s.says(t, "projection", "verify", "access").is(t, 1, "rebuild of access into generation", "is under way")
	s.says(t, "projection", "list").is(t, 0, "rebuild into ")
	s.call(t, "AuthService/Login", ada.login()).ok(t)
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for line := ""; !strings.Contains(line, "giving it up"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	// Once it is, and not before, what waits may go on.
	eventually(t, startBound, "it is given up", func() bool {
		var state string
		err := s.database(t).QueryRow(t.Context(), `SELECT state FROM read.operations WHERE projection = 'access'`).Scan(&state)
		return err == nil && state == "cancelled"
	})
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Should it hang, the end of the test shows where.
	hung := time.AfterFunc(startBound, func() { _ = first.Process.Kill() })
	defer hung.Stop()
	rest, _ := io.ReadAll(lines)
	if err := first.Wait(); err == nil || first.ProcessState.ExitCode() != 130 || !strings.Contains(outcome.String(), "was given up") {
		t.Errorf("%v\n%s%s", err, rest, outcome.String())
	}
	var left int
	if err := s.database(t).QueryRow(t.Context(), `SELECT count(*) FROM read.access WHERE generation <>
		(SELECT generation FROM read.projections WHERE name = 'access')`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left: %v", left, err)
	}
	s.call(t, "AuthService/Login", ada.login()).ok(t)
}
