package users_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/users"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// Whatever identity may record, the row's version has to follow.
func TestEveryEventOfAnAccountIsHandled(t *testing.T) {
	t.Parallel()
	messages := eventsv1.File_muster_identity_events_v1_user_proto.Messages()
	for i := range messages.Len() {
		if name := string(messages.Get(i).FullName()); !(users.Projection{}).Handles(name) {
			t.Errorf("%s is not handled", name)
		}
	}
	if (users.Projection{}).Handles("muster.identity.events.v1.Newer") {
		t.Error("an event that nobody knows is handled")
	}
}

func TestRowIsTheFoldOfTheStreamInHoweverManyBatches(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	for name, batches := range map[string][]int{"one": {10}, "each": {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "some": {3, 2, 5}} {
		p := newPerson()
		id := p.id.String()
		events := []eventstore.Opened{
			p.registered("ada", "admin"),
			p.event(&eventsv1.PasswordSet{UserId: id}),
			p.event(&eventsv1.ProfileUpdated{UserId: id, FirstName: "Ada", LastName: ""}),
			p.event(&eventsv1.UserDeactivated{UserId: id}),
			p.event(&eventsv1.UsernameChanged{UserId: id, Username: "ada-" + name}),
			p.event(&eventsv1.EmailChanged{UserId: id, Email: name + "@new.example"}),
			p.event(&eventsv1.RolesChanged{UserId: id, Roles: []string{"admin", "auditor"}}),
			p.event(&eventsv1.UserReactivated{UserId: id}),
			p.event(&eventsv1.RolesChanged{UserId: id}),
			p.event(&eventsv1.PasswordSet{UserId: id}),
		}
		want := users.User{
			ID: p.id, Username: "ada-" + name, Email: name + "@new.example", FirstName: "Ada", Roles: []string{}, Active: true,
			RegisteredAt: events[0].OccurredAt, UpdatedAt: events[9].OccurredAt, Version: 10,
		}
		for _, size := range batches {
			b.apply(t, events[:size]...)
			events = events[size:]
		}
		got := b.all(t, users.Query{Username: "ada-" + name})
		if diff := cmp.Diff([]users.User{want}, got, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("in batches %v: %s", batches, diff)
		}
	}
}

func TestWhatIsAppliedAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b, p := newTable(t), newPerson()
	registered := p.registered("ada")
	changed := p.event(&eventsv1.UsernameChanged{UserId: p.id.String(), Username: "byron"})
	b.apply(t, registered, changed)
	before := b.all(t, users.Query{})
	b.apply(t, registered)
	b.apply(t, changed)
	if diff := cmp.Diff(before, b.all(t, users.Query{})); diff != "" {
		t.Error(diff)
	}
}

func TestErasedPersonLeavesTheList(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	ada, bob, eve := newPerson(), newPerson(), newPerson()
	// Known, and then erased.
	b.apply(t, ada.registered("ada"))
	b.apply(t, ada.event(&eventsv1.UserErased{UserId: ada.id.String(), KeyIds: []string{"some"}}))
	// In one batch.
	b.apply(t, bob.registered("bob"), bob.event(&eventsv1.UserErased{UserId: bob.id.String()}))
	// Erased before the first sight of it, and events in between.
	b.apply(t, erased(eve.registered("eve", "admin")), eve.event(&eventsv1.UserDeactivated{UserId: eve.id.String()}))
	b.apply(t, eve.event(&eventsv1.RolesChanged{UserId: eve.id.String(), Roles: []string{"admin"}}))
	b.apply(t, erased(eve.event(&eventsv1.ProfileUpdated{UserId: eve.id.String()})))
	if found := b.all(t, users.Query{}); len(found) != 0 {
		t.Errorf("the list shows %+v", found)
	}
}

func TestEventAboutNobodyFailsTheBatch(t *testing.T) {
	t.Parallel()
	b, p := newTable(t), newPerson()
	if err := b.try(t.Context(), 1, p.registered("ada"), p.event(&eventsv1.UserDeactivated{UserId: "nobody"})); err == nil {
		t.Fatal("it was applied")
	}
	if found := b.all(t, users.Query{}); len(found) != 0 {
		t.Errorf("half of the batch is in the rows: %+v", found)
	}
}

func TestGenerationsDoNotTouchEachOther(t *testing.T) {
	t.Parallel()
	b, p := newTable(t), newPerson()
	registered := p.registered("ada")
	b.apply(t, registered, p.event(&eventsv1.UserDeactivated{UserId: p.id.String()}))
	if err := b.try(t.Context(), 2, registered); err != nil {
		t.Fatal(err)
	}
	if found := b.all(t, users.Query{}); len(found) != 1 || found[0].Active {
		t.Errorf("generation 1 shows %+v", found)
	}
	b.exec(t, `UPDATE read.projections SET generation = 2 WHERE name = 'users'`)
	if found := b.all(t, users.Query{}); len(found) != 1 || !found[0].Active {
		t.Errorf("generation 2 shows %+v", found)
	}
}

// sealed opens nothing; it shows what it was asked to open.
type sealed struct{ asked []eventstore.Event }

func (s *sealed) Decode(_ context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	s.asked = events
	return nil, nil
}

func TestVerifiersStaySealed(t *testing.T) {
	t.Parallel()
	events := []eventstore.Event{
		{Type: "muster.identity.events.v1.UserRegistered", Sealed: []byte("names"), KeyID: "hers"},
		{Type: "muster.identity.events.v1.PasswordSet", Sealed: []byte("verifier"), KeyID: "its own"},
	}
	decoder := &sealed{}
	if _, err := users.WithoutPasswords(decoder).Decode(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if decoder.asked[0].KeyID != "hers" || decoder.asked[1].KeyID != "" || decoder.asked[1].Sealed != nil {
		t.Errorf("asked for %+v", decoder.asked)
	}
	if events[1].KeyID != "its own" {
		t.Error("the caller's event was changed")
	}
}

// Of a generation that is being made the planner has no statistics, and expects
// a single row.
func TestABatchReadsTheRowsOfItsPeopleOnly(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	const fill = `
		INSERT INTO read.users
			(generation, user_id, username, email, first_name, last_name, first_name_key, last_name_key, roles, active,
			 registered_at, updated_at, version)
		SELECT $1, md5(n::text)::uuid, n, n, n, n, n, n, '{}', true, now(), now(), 1 FROM generate_series(1, 30000) AS n`
	b.exec(t, fill, 1)
	b.analyze(t)
	b.exec(t, fill, 2)
	ada, bob := newPerson(), newPerson()
	ada.version, bob.version = 1, 1
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nobody needs it
	events := []eventstore.Opened{
		ada.event(&eventsv1.UserDeactivated{UserId: ada.id.String()}), bob.event(&eventsv1.UserErased{UserId: bob.id.String()}),
	}
	if err := (users.Projection{}).Apply(t.Context(), tx, 2, events); err != nil {
		t.Fatal(err)
	}
	var read int64
	if err := tx.QueryRow(t.Context(), `
		SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'read.users'::regclass`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	if read > 10 {
		t.Errorf("%d rows were read for two people", read)
	}
}
