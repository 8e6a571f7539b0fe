package app_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/platform/secret"
)

// complete says whether the rows have ever held all of the log.
func (w *world) complete(t *testing.T, complete bool) {
	t.Helper()
	if _, err := w.db.Exec(t.Context(), `UPDATE read.projections SET complete = $1`, complete); err != nil {
		t.Fatal(err)
	}
}

func (w *world) refusedLogin(t *testing.T, what, name, password string, want error) {
	t.Helper()
	loggedIn, err := w.Login(t.Context(), app.Login{Name: name, Password: secret.New(password)})
	if !errors.Is(err, want) || !loggedIn.Tokens.Access.Empty() {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// While accounts are made from the first event on, an account that is not there
// may come yet, and one that is may be as it was years ago: with a password that
// was stolen since, a role that was taken away.
func TestUntilAllAccountsAreThereNobodyIsJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	opened := w.login(t, "ada")
	never := w.tokens.Write(uuid.New(), 1)

	w.complete(t, false)
	w.refusedLogin(t, "the right password of an account that is there", "ada", rightPassword, app.ErrIncomplete)
	w.refusedLogin(t, "a wrong one", "ada", "wrong", app.ErrIncomplete)
	w.refusedLogin(t, "an account that is not there yet", "bob", rightPassword, app.ErrIncomplete)
	w.refusedLogin(t, "an address that is not there yet", "bob@example.org", rightPassword, app.ErrIncomplete)
	w.refused(t, opened.Tokens.Refresh, app.ErrIncomplete) // its account may be on its way
	w.refused(t, never, session.ErrRevoked)                // whatever comes, no session does

	w.join(t, "bob")
	ada.setPassword(t, "another password", false)
	w.complete(t, true)
	w.refusedLogin(t, "the former password", "ada", rightPassword, app.ErrWrongCredentials)
	w.login(t, "bob")
	w.refused(t, opened.Tokens.Refresh, session.ErrRevoked) // by the new password
}

// Before the projection has written its pointer there is nothing that says
// whether anything is complete, so nothing is.
func TestWithoutAPointerNobodyIsJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	opened := w.login(t, "ada")
	if _, err := w.db.Exec(t.Context(), `DELETE FROM read.projections`); err == nil {
		t.Error("the run-time role forgets the pointer")
	}
	if _, err := w.db.Exec(t.Context(), `UPDATE read.projections SET name = 'another'`); err != nil {
		t.Fatal(err)
	}
	w.refusedLogin(t, "somebody", "ada", rightPassword, app.ErrIncomplete)
	w.refusedLogin(t, "nobody", "nobody", rightPassword, app.ErrIncomplete)
	w.refused(t, opened.Tokens.Refresh, app.ErrIncomplete)
}

// The database is lost between the check of the password and the session.
func TestASessionIsOpenedByCompleteRowsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	loss, err := w.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer loss.Rollback(t.Context()) //nolint:errcheck // committed by then
	if _, err := loss.Exec(t.Context(), `LOCK TABLE sessions.sessions IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New(rightPassword)})
		done <- err
	}()
	w.awaitWaiting(t, done)
	if _, err := loss.Exec(t.Context(), `UPDATE read.projections SET complete = false`); err != nil {
		t.Fatal(err)
	}
	if err := loss.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, app.ErrIncomplete) {
		t.Errorf("%v, want %v", err, app.ErrIncomplete)
	}
	if n := w.sessions(t); n != 0 {
		t.Errorf("%d sessions are open", n)
	}
}
