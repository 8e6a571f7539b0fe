package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestARefreshGivesANewPairOfTheSameSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	first := w.login(t, "ada").Tokens
	w.clock.pass(15 * time.Minute)
	second := w.refresh(t, first.Refresh)
	if second.Refresh.Equal(first.Refresh) {
		t.Error("the refresh token did not change")
	}
	before, after := w.claims(t, second.Access), w.claims(t, w.refresh(t, second.Refresh).Access)
	if before.SessionID != after.SessionID || before.ID == after.ID {
		t.Errorf("from session %s, token %s to session %s, token %s", before.SessionID, before.ID, after.SessionID, after.ID)
	}
	if want := w.clock.Now().Add(lifetime.Idle); !second.RefreshExpiresAt.Equal(want) {
		t.Errorf("the session ends at %s, want %s", second.RefreshExpiresAt, want)
	}
}

func TestARefreshTellsTheRolesOfToday(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	tokens := w.login(t, "ada").Tokens
	ada.apply(t, &eventsv1.RolesChanged{UserId: ada.id.String(), Roles: []string{"admin", "auditor"}})
	claims := w.claims(t, w.refresh(t, tokens.Refresh).Access)
	if claims.AccessVersion != 3 || !slices.Equal(claims.Roles, []string{"admin", "auditor"}) {
		t.Errorf("roles %v of access version %d, want the new ones of 3", claims.Roles, claims.AccessVersion)
	}
}

func TestTheParentGivesTheSameChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	parent := w.login(t, "ada").Tokens.Refresh
	child := w.refresh(t, parent).Refresh
	w.clock.pass(24 * time.Hour) // the answer was lost, and the laptop closed
	if again := w.refresh(t, parent).Refresh; !again.Equal(child) {
		t.Error("it was another child")
	}
	w.refresh(t, child)
	if _, err := w.Refresh(t.Context(), app.Refresh{Token: parent}); err != nil {
		t.Errorf("in the time of grace: %v", err)
	}
	w.refresh(t, child)
}

func TestTwoRefreshesAtOnceGetTheSameChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	parent := w.login(t, "ada").Tokens.Refresh
	for range 10 {
		type answer struct {
			tokens app.Tokens
			err    error
		}
		answers := make(chan answer, 8)
		for range cap(answers) {
			go func() {
				tokens, err := w.Refresh(t.Context(), app.Refresh{Token: parent})
				answers <- answer{tokens, err}
			}()
		}
		var child secret.String
		for range cap(answers) {
			got := <-answers
			if got.err != nil {
				t.Fatal(got.err)
			}
			if child.Empty() {
				child = got.tokens.Refresh
			}
			if !got.tokens.Refresh.Equal(child) {
				t.Fatal("two tabs got two children")
			}
		}
		parent = child
	}
}

func TestAReplacedTokenEndsTheSessionAndIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	stolen := w.login(t, "ada").Tokens.Refresh
	other := w.login(t, "ada").Tokens.Refresh
	second := w.refresh(t, stolen).Refresh
	third := w.refresh(t, second).Refresh
	w.clock.pass(session.Grace + time.Second)
	w.refused(t, stolen, session.ErrReused)
	for _, token := range []secret.String{stolen, second, third} {
		w.refused(t, token, session.ErrRevoked)
	}
	w.refresh(t, other) // another session of the same person
	sessionID, _, err := w.tokens.Read(stolen)
	if err != nil {
		t.Fatal(err)
	}
	report := w.logged.String()
	if strings.Count(report, "level=WARN") != 1 || !strings.Contains(report, sessionID.String()) || !strings.Contains(report, ada.id.String()) {
		t.Errorf("the log says %q, want one warning with session and person", report)
	}
	if strings.Contains(report, stolen.Reveal()) {
		t.Error("the log holds the token")
	}
}

func TestWhatEndsRefreshing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		happens func(*testing.T, *person, secret.String)
		want    error
	}{
		"logout": {func(t *testing.T, _ *person, token secret.String) {
			if err := w.Logout(t.Context(), app.Logout{Token: token}); err != nil {
				t.Fatal(err)
			}
		}, session.ErrRevoked},
		"the end of all sessions": {func(t *testing.T, p *person, _ secret.String) {
			if _, err := w.EndSessions(t.Context(), app.EndSessions{UserID: p.id}); err != nil {
				t.Fatal(err)
			}
		}, session.ErrRevoked},
		"a new password": {func(t *testing.T, p *person, _ secret.String) {
			p.setPassword(t, "another password", false)
		}, session.ErrRevoked},
		"the same password set again": {func(t *testing.T, p *person, _ secret.String) {
			p.setPassword(t, rightPassword, false)
		}, session.ErrRevoked},
		"deactivation": {func(t *testing.T, p *person, _ secret.String) {
			p.deactivate(t)
		}, session.ErrRevoked},
		"an erasure": {func(t *testing.T, p *person, _ secret.String) {
			p.erase(t)
		}, session.ErrRevoked},
		"idleness": {func(_ *testing.T, _ *person, _ secret.String) {
			w.clock.pass(lifetime.Idle)
		}, session.ErrExpired},
		"an account that is gone": {func(t *testing.T, p *person, _ secret.String) {
			if _, err := w.db.Exec(t.Context(), `DELETE FROM read.access WHERE user_id = $1`, p.id); err != nil {
				t.Fatal(err)
			}
		}, session.ErrRevoked},
		"a session whose row is deleted": {func(t *testing.T, _ *person, _ secret.String) {
			if _, err := w.db.Exec(t.Context(), `DELETE FROM sessions.sessions`); err != nil {
				t.Fatal(err)
			}
		}, session.ErrRevoked},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: some happen to all
			user := strings.ReplaceAll(name, " ", "-")
			ada := w.join(t, user)
			parent := w.login(t, user).Tokens.Refresh
			newest := w.refresh(t, parent).Refresh
			test.happens(t, ada, newest)
			w.refused(t, newest, test.want)
			w.refused(t, parent, test.want)
		})
	}
}

func TestSessionsFromBeforeADeactivationStayOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	token := w.login(t, "ada").Tokens.Refresh
	ada.deactivate(t)
	w.refused(t, token, session.ErrRevoked)
	ada.reactivate(t)
	w.refused(t, token, session.ErrRevoked)
	w.refresh(t, w.login(t, "ada").Tokens.Refresh)
}

// A rebuild applies every event again, deactivations too, in a generation of
// its own.
func TestARebuildEndsNoSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	ada.deactivate(t)
	ada.reactivate(t)
	bob := w.join(t, "bob")
	bob.setPassword(t, rightPassword, false)
	adas, bobs := w.login(t, "ada").Tokens.Refresh, w.login(t, "bob").Tokens.Refresh
	for generation := int64(2); generation <= 3; generation++ {
		for _, p := range []*person{ada, bob} {
			for _, event := range p.past {
				w.project(t, generation, event)
			}
			adas, bobs = w.refresh(t, adas).Refresh, w.refresh(t, bobs).Refresh // while the shadow fills
		}
		if _, err := w.db.Exec(t.Context(), `UPDATE read.projections SET generation = $1`, generation); err != nil {
			t.Fatal(err)
		}
		adas, bobs = w.refresh(t, adas).Refresh, w.refresh(t, bobs).Refresh // after the swap
	}
}

func under(account access.Account) session.Access {
	return session.Access{PasswordVersion: account.PasswordVersion, SessionsFrom: account.SessionsFrom, Version: account.AccessVersion}
}

func TestAForgedTokenIsInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	genuine := w.login(t, "ada").Tokens.Refresh
	forger := session.NewTokens(secret.NewBytes([]byte("another key of thirty-two bytes.")))
	id, number, err := w.tokens.Read(genuine)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]secret.String{
		"empty":                   {},
		"nonsense":                secret.New("nonsense"),
		"signed by somebody else": forger.Write(id, number),
		"never made":              w.tokens.Write(id, number+1),
	} {
		t.Log(name)
		w.refused(t, token, session.ErrInvalid)
	}
	w.refused(t, w.tokens.Write(uuid.New(), 1), session.ErrRevoked) // genuine, so its session is long gone
	w.refresh(t, genuine)
}

// A refresh holds no lock between reading the session and writing it, so a slow
// one may write last.
func TestASlowRefreshDoesNotTurnTheChainBackNorReviveIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, "ada")
	token := w.login(t, "ada").Tokens.Refresh
	id, _, err := w.tokens.Read(token)
	if err != nil {
		t.Fatal(err)
	}
	slow, account, err := w.store.Session(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := slow.Refresh(1, under(account), w.clock.Now(), lifetime)
	if err != nil {
		t.Fatal(err)
	}
	third := w.refresh(t, w.refresh(t, token).Refresh).Refresh // meanwhile
	if advanced, err := w.store.AdvanceSession(t.Context(), slow.Counter, next); err != nil || advanced {
		t.Errorf("AdvanceSession = %v, %v; want false", advanced, err)
	}
	fourth := w.refresh(t, third).Refresh

	held, account, err := w.store.Session(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err = held.Refresh(held.Counter, under(account), w.clock.Now(), lifetime)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Logout(t.Context(), app.Logout{Token: fourth}); err != nil { // meanwhile
		t.Fatal(err)
	}
	if advanced, err := w.store.AdvanceSession(t.Context(), held.Counter, next); err != nil || advanced {
		t.Errorf("AdvanceSession of an ended session = %v, %v; want false", advanced, err)
	}
	w.refused(t, fourth, session.ErrRevoked)
}
