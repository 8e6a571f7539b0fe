package app_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func (p *person) rename(t *testing.T, username string) {
	t.Helper()
	p.apply(t, &eventsv1.UsernameChanged{UserId: p.id.String(), Username: username})
}

func (p *person) readdress(t *testing.T, email string) {
	t.Helper()
	p.apply(t, &eventsv1.EmailChanged{UserId: p.id.String(), Email: email})
}

// stranger is refused: nobody, or nobody any more, has the name.
func (w *world) stranger(t *testing.T, name string) {
	t.Helper()
	if _, err := w.Login(t.Context(), app.Login{Name: name, Password: secret.New(rightPassword)}); !errors.Is(err, app.ErrWrongCredentials) {
		t.Errorf("%s: %v, want ErrWrongCredentials", name, err)
	}
}

func TestANewNameWorksAtOnceAndTheFormerNoLonger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	before := w.login(t, "ada").Tokens.Refresh
	ada.rename(t, "augusta")
	w.login(t, "augusta")
	w.login(t, "ada@example.org")
	w.stranger(t, "ada")
	ada.readdress(t, "countess@example.org")
	w.login(t, "countess@example.org")
	w.stranger(t, "ada@example.org")
	w.refresh(t, before) // another name ends no session
}

// The streams of two people are applied in any order, so that for a moment both
// seem to have the name.
func TestANameThatChangedHandsIsItsNewHoldersBeforeTheFormerOneIsKnownToHaveGivenIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	w.clock.pass(time.Hour)
	bob := w.join(t, "bob")
	w.clock.pass(time.Second)
	bob.rename(t, "ada")
	bob.readdress(t, "ada@example.org")
	for _, name := range []string{"ada", "ada@example.org"} {
		if got := w.login(t, name).UserID; got != bob.id {
			t.Errorf("%s is %s, want its new holder", name, got)
		}
	}
	ada.rename(t, "augusta")
	if got := w.login(t, "ada").UserID; got != bob.id {
		t.Errorf("once all is applied ada is %s, want its new holder", got)
	}
	if got := w.login(t, "augusta").UserID; got != ada.id {
		t.Errorf("augusta is %s", got)
	}
}

func TestAnErasedPersonIsAStrangerAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	w.join(t, "bob")
	token := w.login(t, "ada").Tokens.Refresh
	if _, err := w.EndSessions(t.Context(), app.EndSessions{UserID: ada.id}); err != nil { // one that is over, and one that lives
		t.Fatal(err)
	}
	w.login(t, "ada")
	bobs := w.login(t, "bob").Tokens.Refresh
	account, err := w.store.AccountByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SaveRehashed(t.Context(), account, account.Verifier, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	ada.erase(t)
	w.stranger(t, "ada")
	w.stranger(t, "ada@example.org")
	w.refused(t, token, session.ErrRevoked)
	for _, table := range []string{"read.access", "sessions.sessions", "sessions.rehashed_verifiers"} {
		var left int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM `+table+` WHERE user_id = $1`, ada.id).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left != 0 {
			t.Errorf("%s: %d rows are left", table, left)
		}
	}
	w.refresh(t, bobs)
	// The names are free, and whoever takes them is somebody else.
	w.clock.pass(time.Second)
	if again := w.join(t, "ada"); w.login(t, "ada").UserID != again.id {
		t.Error("the name is not its new holder's")
	}
}

// Somebody is at the door with the right password while the erasure goes by.
func TestASignInThatAnErasureOvertakesLeavesNoSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	account, err := w.store.AccountByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ada.erase(t)
	opened := session.Open(uuid.New(), account.UserID, under(account), w.clock.Now(), lifetime)
	if err := w.store.OpenSession(t.Context(), opened); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("OpenSession: %v, want ErrNotFound", err)
	}
	if left := w.sessions(t); left != 0 {
		t.Errorf("%d sessions are left", left)
	}
}

// The erasure is under way and not committed: the sign-in waits for it.
func TestASignInDuringAnErasureLeavesNoSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	account, err := w.store.AccountByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	erasure, err := w.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer erasure.Rollback(t.Context()) //nolint:errcheck // committed by then
	event := eventstore.Opened{
		Event:   eventstore.Event{ID: uuid.New(), Log: "identity", Epoch: 1, Stream: "user-" + ada.id.String(), Version: 3},
		Message: &eventsv1.UserErased{UserId: ada.id.String()},
	}
	if err := applyAccess(t.Context(), erasure, 1, event); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		opened <- w.store.OpenSession(t.Context(), session.Open(uuid.New(), ada.id, under(account), w.clock.Now(), lifetime))
	}()
	w.awaitWaiting(t, opened)
	if err := erasure.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("OpenSession: %v, want ErrNotFound", err)
	}
	if left := w.sessions(t); left != 0 {
		t.Errorf("%d sessions are left", left)
	}
}

// awaitWaiting returns once somebody waits for a lock in this database.
func (w *world) awaitWaiting(t *testing.T, opened <-chan error) {
	t.Helper()
	for waiting := false; !waiting; {
		select {
		case err := <-opened:
			t.Fatalf("it has not waited: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		err := w.db.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
}
