package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestLoginByUsernameOrEmailInAnySpelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	for _, name := range []string{"ada", "ADA", " Ada ", "ada@example.org", "Ada@Example.ORG"} {
		loggedIn := w.login(t, name)
		if loggedIn.UserID != ada.id || loggedIn.PasswordChangeRequired {
			t.Errorf("%q: %+v", name, loggedIn)
		}
		if want := w.clock.Now().Add(lifetime.Idle); !loggedIn.Tokens.RefreshExpiresAt.Equal(want) {
			t.Errorf("%q: the session ends at %s, want %s", name, loggedIn.Tokens.RefreshExpiresAt, want)
		}
		w.refresh(t, loggedIn.Tokens.Refresh)
	}
}

func TestAnAccessTokenSaysWhoAndForHowLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	loggedIn := w.login(t, "ada")
	claims := w.claims(t, loggedIn.Tokens.Access)
	sessionID, _, err := w.tokens.Read(loggedIn.Tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	want := token.Claims{
		Subject: ada.id.String(), SessionID: sessionID.String(), ID: claims.ID, AccessVersion: 2, Roles: []string{"reader"},
		IssuedAt: claims.IssuedAt, ExpiresAt: w.clock.Now().Add(15 * time.Minute),
	}
	claims.ExpiresAt = claims.ExpiresAt.UTC()
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Error(diff)
	}
	if !loggedIn.Tokens.AccessExpiresAt.Equal(claims.ExpiresAt) {
		t.Errorf("AccessExpiresAt = %s, the token says %s", loggedIn.Tokens.AccessExpiresAt, claims.ExpiresAt)
	}
	if other := w.claims(t, w.login(t, "ada").Tokens.Access); other.ID == claims.ID || other.SessionID == claims.SessionID {
		t.Error("two logins share a token id or a session")
	}
}

// The time of an answer does not tell who has an account: each refusal is one
// hash with the pool's own costs.
func TestEveryWrongLoginCostsOneHashAndIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	w.join(t, "locked").deactivate(t)
	(&person{w: w, id: uuid.New()}).apply(t, &eventsv1.UserRegistered{UserId: uuid.NewString(), Username: "fresh", Email: "fresh@example.org"})
	for name, login := range map[string]string{
		"wrong password":                         "ada",
		"wrong password of an inactive account":  "locked",
		"unknown username":                       "nobody",
		"unknown email":                          "nobody@example.org",
		"a name that can be nobody's":            "no body",
		"an address that can be nobody's":        "nobody@",
		"an account that has no password as yet": "fresh",
	} {
		before := w.passwords.Stats().Hashes
		_, err := w.Login(t.Context(), app.Login{Name: login, Password: secret.New("wrong password")})
		if !errors.Is(err, app.ErrWrongCredentials) || err.Error() != "login: "+app.ErrWrongCredentials.Error() {
			t.Errorf("%s: %v", name, err)
		}
		if hashes := w.passwords.Stats().Hashes - before; hashes != 1 {
			t.Errorf("%s: %d hashes, want 1", name, hashes)
		}
	}
	if sessions := w.sessions(t); sessions != 0 {
		t.Errorf("%d sessions were opened", sessions)
	}
	for _, name := range []string{"nobody", "no body", "ada", "wrong password"} {
		if strings.Contains(w.logged.String(), name) {
			t.Errorf("the log holds %q", name)
		}
	}
}

// While it has a verifier of former costs, an account costs both.
func TestAWrongLoginToAnOutdatedAccountCostsNoLessThanAnUnknownOne(t *testing.T) {
	t.Parallel()
	w := newWorldWithCosts(t, password.Params{MemoryKiB: 16, Time: 1, Parallelism: 1})
	ada := w.join(t, "ada")
	verifier, err := password.NewPool(cheap, 1, 1).Hash(t.Context(), secret.New(rightPassword))
	if err != nil {
		t.Fatal(err)
	}
	ada.apply(t, &eventsv1.PasswordSet{UserId: ada.id.String(), Verifier: verifier.Reveal()})
	before := w.passwords.Stats().Hashes
	if _, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New("wrong password")}); !errors.Is(err, app.ErrWrongCredentials) {
		t.Errorf("Login: %v, want ErrWrongCredentials", err)
	}
	if hashes := w.passwords.Stats().Hashes - before; hashes != 2 {
		t.Errorf("%d hashes, want one of its costs and one of the present ones", hashes)
	}
}

func TestThatAnAccountIsInactiveIsToldToWhoKnowsItsPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	ada.deactivate(t)
	_, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New(rightPassword)})
	if !errors.Is(err, app.ErrAccountInactive) {
		t.Errorf("right password: %v, want ErrAccountInactive", err)
	}
	if sessions := w.sessions(t); sessions != 0 {
		t.Errorf("%d sessions were opened", sessions)
	}
	ada.reactivate(t)
	w.login(t, "ada")
}

func TestAPasswordThatMustBeChangedGivesAnAccessTokenAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada").setPassword(t, rightPassword, true)
	loggedIn := w.login(t, "ada")
	if !loggedIn.PasswordChangeRequired || !loggedIn.Tokens.Refresh.Empty() || !loggedIn.Tokens.RefreshExpiresAt.IsZero() {
		t.Errorf("%+v", loggedIn)
	}
	if claims := w.claims(t, loggedIn.Tokens.Access); !claims.PasswordChangePending {
		t.Error("the access token does not say so")
	}
	if sessions := w.sessions(t); sessions != 0 {
		t.Errorf("%d sessions were opened", sessions)
	}
}

func TestOnlyALoginWithAPositionWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	position := eventstore.Position{Log: "identity", Epoch: 1, Stream: "user-1", Version: 2}
	for name, test := range map[string]struct {
		await, want error
	}{
		"applied":          {nil, nil},
		"not in time":      {projection.ErrNotApplied, app.ErrNotCaughtUp},
		"too many wait":    {projection.ErrTooManyWaiters, app.ErrNotCaughtUp},
		"former epoch":     {eventstore.ErrEpochChanged, app.ErrPositionInvalid},
		"another log":      {projection.ErrForeignLog, app.ErrPositionInvalid},
		"the caller left":  {context.Canceled, context.Canceled},
		"database is away": {context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			w.awaiter.err, w.awaiter.awaited = test.await, nil
			before := w.passwords.Stats().Hashes
			_, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New(rightPassword), After: &position})
			if !errors.Is(err, test.want) {
				t.Errorf("Login: %v, want %v", err, test.want)
			}
			if diff := cmp.Diff([]eventstore.Position{position}, w.awaiter.awaited); diff != "" {
				t.Error(diff)
			}
			if hashed := w.passwords.Stats().Hashes > before; hashed != (test.want == nil) {
				t.Errorf("hashed: %v", hashed)
			}
			w.login(t, "ada") // without a position
			if len(w.awaiter.awaited) != 1 {
				t.Error("a login without a position waits")
			}
		})
	}
}

func TestAnOverloadedPoolIsToldWithItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	// An unknown name costs the pool's own costs: here much, for one worker and a queue of one.
	slow := w.with(password.NewPool(password.Params{MemoryKiB: 64 * 1024, Time: 3, Parallelism: 1}, 1, 1))
	answers := make(chan error, 8)
	for range cap(answers) {
		go func() {
			_, err := slow.Login(t.Context(), app.Login{Name: "nobody", Password: secret.New(rightPassword)})
			answers <- err
		}()
	}
	refused := 0
	for range cap(answers) {
		err := <-answers
		var overloaded *password.OverloadedError
		switch {
		case errors.Is(err, app.ErrWrongCredentials):
		case errors.As(err, &overloaded) && overloaded.RetryAfter > 0:
			refused++
		default:
			t.Errorf("Login: %v, want an OverloadedError with a time", err)
		}
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
}

func TestAnOutdatedVerifierIsMadeAgainAfterTheLogin(t *testing.T) {
	t.Parallel()
	w := newWorldWithCosts(t, password.Params{MemoryKiB: 16, Time: 1, Parallelism: 1})
	ada := w.join(t, "ada")
	former := password.NewPool(cheap, 1, 1)
	verifier, err := former.Hash(t.Context(), secret.New(rightPassword))
	if err != nil {
		t.Fatal(err)
	}
	ada.apply(t, &eventsv1.PasswordSet{UserId: ada.id.String(), Verifier: verifier.Reveal()})

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.rehasher.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w.login(t, "ada")
	stored := w.awaitRehashed(t, ada)
	if w.passwords.Outdated(stored) {
		t.Error("the new verifier has former costs")
	}
	account, err := w.store.AccountByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if !account.Verifier.Equal(stored) {
		t.Error("the new verifier does not serve")
	}
	w.login(t, "ada")
	// Another password: the rehashed one must not let the former in.
	ada.setPassword(t, "another password", false)
	if _, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New(rightPassword)}); !errors.Is(err, app.ErrWrongCredentials) {
		t.Errorf("the former password: %v, want ErrWrongCredentials", err)
	}
}

// awaitRehashed waits until the rehasher has stored something.
func (w *world) awaitRehashed(t *testing.T, of *person) secret.String {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var verifier string
		err := w.db.QueryRow(t.Context(), `SELECT COALESCE((SELECT verifier FROM sessions.rehashed_verifiers WHERE user_id = $1), '')`, of.id).Scan(&verifier)
		if err != nil {
			t.Fatal(err)
		}
		if verifier != "" {
			return secret.New(verifier)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func TestARehashForAPasswordThatHasChangedIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	account, err := w.store.AccountByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ada.setPassword(t, "another password", false)
	if err := w.store.SaveRehashed(t.Context(), account, account.Verifier, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New("another password")}); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if _, err := w.Login(t.Context(), app.Login{Name: "ada", Password: secret.New(rightPassword)}); !errors.Is(err, app.ErrWrongCredentials) {
		t.Errorf("the former password: %v, want ErrWrongCredentials", err)
	}
}
