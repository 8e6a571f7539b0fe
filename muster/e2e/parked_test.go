package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// projectionHealth is what CheckServices tells an admin about a projection.
func (s *world) projectionHealth(t *testing.T, admin visitor, service, name string) (health map[string]any, state string) {
	t.Helper()
	checked := s.call(t, "HealthService/CheckServices", map[string]any{}, admin.token).ok(t)
	for _, each := range checked.list("services") {
		of, _ := each.(map[string]any)
		if of["name"] != service {
			continue
		}
		dependencies, _ := of["dependencies"].([]any)
		for _, each := range dependencies {
			dependency, _ := each.(map[string]any)
			if dependency["name"] == "projection "+name {
				health, _ := dependency["projection"].(map[string]any)
				state, _ := dependency["state"].(string)
				return health, state
			}
		}
	}
	t.Fatalf("%s has no projection %s: %s", service, name, checked.raw)
	return nil, ""
}

// Two events that nobody can read stop two people's streams and nobody else's.
// The operator is told of them, without what they say. Mended, one is applied
// with all that waited behind it, in its order; the other is left out, for a
// reason that is kept.
func TestAnEventThatCannotBeReadParksItsStreamAlone(t *testing.T) {
	s := start(t)
	boss := s.admin(t)
	ada, bob, carol := s.joins(t, "ada-parked"), s.joins(t, "bob-parked"), s.joins(t, "carol-unharmed")
	const canary = "parked-canary"
	scribe := s.writes(t)
	renamed := func(who visitor, name string) *eventsv1.UsernameChanged {
		return &eventsv1.UsernameChanged{UserId: who.id, Username: name}
	}
	ofAda := scribe.seals(t, ada.id, 3, renamed(ada, canary+"-first"), renamed(ada, "ada-second"), renamed(ada, "ada-last"))
	ofBob := scribe.seals(t, bob.id, 3, renamed(bob, canary+"-lost"), renamed(bob, "bob-last"))
	tampered, unknown := ofAda[0], ofBob[0]
	tampered.Sealed = slices.Clone(tampered.Sealed)
	tampered.Sealed[len(tampered.Sealed)-1] ^= 1
	unknown.KeyID = uuid.NewString()
	scribe.appends(t, append(append([]eventstore.Event{tampered}, ofAda[1:]...), append([]eventstore.Event{unknown}, ofBob[1:]...)...))

	// Both are parked, in each projection that needs them, and nobody else waits.
	for service, name := range map[string]string{"credentials": "access", "identity": "users"} {
		eventually(t, time.Minute, name+" has parked two", func() bool {
			health, state := s.projectionHealth(t, boss, service, name)
			return health["parked"] == "2" && health["oldestParkedAt"] != nil && state == "STATE_DEGRADED"
		})
	}
	for _, name := range []string{"dan-meanwhile", "eve-meanwhile", "fay-meanwhile"} {
		joined := s.joins(t, name)
		s.call(t, "UserService/GetMe", map[string]any{}, joined.token).ok(t)
	}
	s.signsIn(t, carol.person)
	s.signsIn(t, ada.person) // as it was before

	listed := s.says(t, "parked", "list", "access")
	listed.is(t, 0, "user-"+ada.id, "user-"+bob.id, "access")
	shown := s.says(t, "parked", "show", "access", "user-"+ada.id)
	shown.is(t, 0, "user-"+ada.id, "UsernameChanged")
	inJSON := s.says(t, "parked", "show", "access", "user-"+bob.id, "--json")
	inJSON.is(t, 0, "user-"+bob.id, "UsernameChanged")
	for _, text := range []string{listed.text, shown.text, inJSON.text} {
		if strings.Contains(text, canary) {
			t.Errorf("it shows what is sealed:\n%s", text)
		}
	}
	// What a rebuild would lose serves on.
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")

	// It stays parked as long as nothing is mended.
	s.says(t, "parked", "retry", "access", "user-"+ada.id).is(t, 1, "version 3 could not be applied")
	if _, err := scribe.log.Exec(t.Context(), `UPDATE log.events SET sealed = $2 WHERE event_id = $1`, ofAda[0].ID, ofAda[0].Sealed); err != nil {
		t.Fatal(err)
	}
	for _, projection := range []string{"access", "users"} {
		s.says(t, "parked", "retry", projection, "user-"+ada.id).is(t, 0, "3 events applied")
	}
	last := ada.person
	last.Username = "ada-last"
	s.signsIn(t, last)
	for _, former := range []string{ada.Username, canary + "-first", "ada-second"} {
		s.call(t, "AuthService/Login", map[string]any{"login": former, "password": ada.Password}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	}

	const why = "its key was never kept: ticket 4711"
	s.says(t, "parked", "skip", "access", "user-"+bob.id, "--version", "3").is(t, 2, "reason")
	s.says(t, "parked", "skip", "access", "user-"+bob.id, "--version", "4", "--reason", why).is(t, 1)
	for _, projection := range []string{"access", "users"} {
		s.says(t, "parked", "skip", projection, "user-"+bob.id, "--version", "3", "--reason", why).is(t, 0, "version 3 is left out", "1 event behind it applied")
	}
	var kept, by string
	err := s.database(t).QueryRow(t.Context(), `SELECT reason, skipped_by FROM read.skipped WHERE projection = 'access' AND stream_id = $1 AND version = 3`, "user-"+bob.id).Scan(&kept, &by)
	if err != nil || kept != why || by != "service-operator" {
		t.Errorf("kept is %q by %q: %v", kept, by, err)
	}
	last = bob.person
	last.Username = "bob-last"
	s.signsIn(t, last)
	s.says(t, "parked", "list").is(t, 0, "no event is parked")

	// A rebuild comes to the same.
	s.says(t, "projection", "rebuild", "access").is(t, 0, "rebuilt access")
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")
	s.says(t, "parked", "list").is(t, 0, "no event is parked")
	s.signsIn(t, last)
	eventually(t, time.Minute, "nothing is told to be parked", func() bool {
		health, state := s.projectionHealth(t, boss, "credentials", "access")
		return health["parked"] == "0" && health["oldestParkedAt"] == nil && state == "STATE_UP"
	})
	for _, service := range []string{"credentials", "identity"} {
		text, err := os.ReadFile(filepath.Join(s.dir, "log", service+".log"))
		if err != nil || bytes.Contains(text, []byte(canary)) {
			t.Errorf("the log of %s shows what is sealed, or nothing: %v", service, err)
		}
	}
	if got := s.get(t, s.url+"/readyz"); got.status != http.StatusOK {
		t.Errorf("/readyz: %d %s", got.status, got.raw)
	}
}
