package access_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// row is read.access as the tests look at it.
type row struct {
	Username, Email string
	Verifier        string
	PasswordVersion int64
	MustChange      bool
	Active          bool
	Roles           []string
	SessionsFrom    int64
	AccessVersion   int64
}

type bundle struct {
	pool  *pgxpool.Pool
	owner secret.String
}

func setup(t testing.TB) *bundle {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	urls := teststack.Database(t, append(sets, database.Migrations{Schema: "read", Part: "projection_", Files: projection.Migrations})...)
	pool, err := database.Open(t.Context(), urls.Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &bundle{pool, urls.Owner}
}

// try does what the projector does with a batch.
func (b *bundle) try(ctx context.Context, generation int64, events ...eventstore.Opened) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if err := (access.Projection{}).Apply(ctx, tx, generation, events); err != nil {
			return err
		}
		return access.Projection{}.React(ctx, tx, events)
	})
}

func (b *bundle) apply(t *testing.T, events ...eventstore.Opened) {
	t.Helper()
	if err := b.try(t.Context(), 1, events...); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) rows(t *testing.T, generation int64) map[uuid.UUID]row {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `
		SELECT user_id, username, email, COALESCE(verifier, ''), password_version, must_change, active, roles, sessions_from, access_version
		FROM read.access WHERE generation = $1`, generation)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[uuid.UUID]row)
	var id uuid.UUID
	var r row
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.Username, &r.Email, &r.Verifier, &r.PasswordVersion, &r.MustChange, &r.Active, &r.Roles, &r.SessionsFrom, &r.AccessVersion},
		func() error { found[id] = r; r = row{}; return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

// person writes the events of one stream.
type person struct {
	id      uuid.UUID
	name    string
	version int64
}

func newPerson(name string) *person { return &person{id: uuid.New(), name: name} }

func (p *person) event(message proto.Message) eventstore.Opened {
	p.version++
	return eventstore.Opened{
		Event: eventstore.Event{
			ID: uuid.New(), Log: "identity", Epoch: 1, Stream: "user-" + p.id.String(), Version: p.version,
			Type: string(message.ProtoReflect().Descriptor().FullName()),
		},
		Message: message,
	}
}

func (p *person) registered(roles ...string) eventstore.Opened {
	return p.event(&eventsv1.UserRegistered{UserId: p.id.String(), Username: p.name, Email: p.name + "@example.org", Roles: roles})
}

func (p *person) passwordSet(verifier string, mustChange bool) eventstore.Opened {
	kind := eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN
	if mustChange {
		kind = eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME
	}
	return p.event(&eventsv1.PasswordSet{UserId: p.id.String(), Verifier: verifier, Kind: kind})
}

func (p *person) deactivated() eventstore.Opened {
	return p.event(&eventsv1.UserDeactivated{UserId: p.id.String()})
}

func (p *person) reactivated() eventstore.Opened {
	return p.event(&eventsv1.UserReactivated{UserId: p.id.String()})
}

func (p *person) renamed(username string) eventstore.Opened {
	return p.event(&eventsv1.UsernameChanged{UserId: p.id.String(), Username: username})
}

func (p *person) readdressed(email string) eventstore.Opened {
	return p.event(&eventsv1.EmailChanged{UserId: p.id.String(), Email: email})
}

func (p *person) given(roles ...string) eventstore.Opened {
	return p.event(&eventsv1.RolesChanged{UserId: p.id.String(), Roles: roles})
}

func (p *person) erased() eventstore.Opened {
	return p.event(&eventsv1.UserErased{UserId: p.id.String()})
}

// erased is an event whose key was destroyed: its sealed fields are gone.
func erased(event eventstore.Opened) eventstore.Opened {
	event.Erased = true
	event.Message = proto.Clone(event.Message)
	switch message := event.Message.(type) {
	case *eventsv1.UserRegistered:
		message.Username, message.Email = "", ""
	case *eventsv1.UsernameChanged:
		message.Username = ""
	case *eventsv1.EmailChanged:
		message.Email = ""
	case *eventsv1.PasswordSet:
		message.Verifier = ""
	}
	return event
}

func TestOnlyEventsThatChangeAccessAreHandled(t *testing.T) {
	t.Parallel()
	for message, want := range map[proto.Message]bool{
		&eventsv1.UserRegistered{}:  true,
		&eventsv1.PasswordSet{}:     true,
		&eventsv1.UserDeactivated{}: true,
		&eventsv1.UserReactivated{}: true,
		&eventsv1.UsernameChanged{}: true,
		&eventsv1.EmailChanged{}:    true,
		&eventsv1.RolesChanged{}:    true,
		&eventsv1.UserErased{}:      true,
		&eventsv1.ProfileUpdated{}:  false,
	} {
		name := string(message.ProtoReflect().Descriptor().FullName())
		if got := (access.Projection{}).Handles(name); got != want {
			t.Errorf("Handles(%s) = %v, want %v", name, got, want)
		}
	}
	if (access.Projection{}).Handles("muster.identity.events.v9.Unknown") {
		t.Error("an unknown type is handled")
	}
}

// However the events are cut into batches, the rows come out the same.
func TestRowsAreTheFoldOfTheEventsInAnyBatches(t *testing.T) {
	t.Parallel()
	ada, bob := newPerson("ada"), newPerson("bob")
	events := []eventstore.Opened{
		ada.registered("admin", "auditor"), ada.passwordSet("first", true), ada.passwordSet("second", false), ada.deactivated(),
		bob.registered(), bob.passwordSet("third", false), bob.deactivated(), bob.reactivated(),
		ada.renamed("augusta"), ada.given(), bob.readdressed("robert@example.org"), bob.given("auditor"),
	}
	want := map[uuid.UUID]row{
		ada.id: {"augusta", "ada@example.org", "second", 3, false, false, []string{}, 4, 6},
		bob.id: {"bob", "robert@example.org", "third", 2, false, true, []string{"auditor"}, 3, 6},
	}
	for name, cuts := range map[string][]int{
		"one batch":        {},
		"one each":         {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		"across people":    {2, 6, 9},
		"just after first": {1, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			from := 0
			for _, to := range append(cuts, len(events)) {
				b.apply(t, events[from:to]...)
				from = to
			}
			if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
				t.Error(diff)
			}
			// And again: what the rows hold already changes nothing.
			b.apply(t, events...)
			b.apply(t, events[:2]...)
			b.apply(t, events[2:3]...)
			if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
				t.Error("after a repetition:", diff)
			}
		})
	}
}

func TestAnAccountWithoutAPasswordHasARowThatOpensNothing(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), newPerson("ada")
	b.apply(t, ada.registered())
	want := map[uuid.UUID]row{ada.id: {"ada", "ada@example.org", "", 0, false, true, []string{}, 0, 1}}
	if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestAnErasedPersonHasNoRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Erased before the first sight of it, in one batch and in two.
	ada, bob := newPerson("ada"), newPerson("bob")
	b.apply(t, erased(ada.registered()), erased(ada.passwordSet("gone", false)), ada.deactivated(), erased(bob.registered()))
	b.apply(t, bob.passwordSet("left over", false), bob.reactivated())
	// And a row that was there already.
	eve := newPerson("eve")
	registered := eve.registered()
	b.apply(t, registered, eve.passwordSet("known", false))
	b.apply(t, erased(registered))
	// The event says so, in the batch of the registration and later.
	dan, kim := newPerson("dan"), newPerson("kim")
	b.apply(t, dan.registered(), dan.passwordSet("known", false), dan.erased(), kim.registered("admin"))
	b.apply(t, kim.deactivated(), kim.erased())
	// A key that was remembered opened the registration, and no longer the next name.
	for _, change := range []func(*person) eventstore.Opened{
		func(p *person) eventstore.Opened { return p.renamed("other") },
		func(p *person) eventstore.Opened { return p.readdressed("other@example.org") },
	} {
		late := newPerson("late")
		b.apply(t, late.registered(), late.passwordSet("known", false))
		b.apply(t, erased(change(late)))
	}
	if rows := b.rows(t, 1); len(rows) != 0 {
		t.Errorf("rows are left: %+v", rows)
	}
}

func TestAnErasedPasswordOpensNothingUntilTheNext(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), newPerson("ada")
	b.apply(t, ada.registered(), ada.passwordSet("first", false), erased(ada.passwordSet("second", true)))
	want := row{"ada", "ada@example.org", "", 3, true, true, []string{}, 3, 3}
	if diff := cmp.Diff(want, b.rows(t, 1)[ada.id]); diff != "" {
		t.Error(diff)
	}
	b.apply(t, ada.passwordSet("third", false))
	want = row{"ada", "ada@example.org", "third", 4, false, true, []string{}, 4, 4}
	if diff := cmp.Diff(want, b.rows(t, 1)[ada.id]); diff != "" {
		t.Error(diff)
	}
	b.apply(t, erased(ada.passwordSet("fourth", false)))
	if got := b.rows(t, 1)[ada.id].Verifier; got != "" {
		t.Errorf("the former verifier %q is left", got)
	}
}

func TestGenerationsDoNotTouchEachOther(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), newPerson("ada")
	registered, set := ada.registered(), ada.passwordSet("first", false)
	b.apply(t, registered, set)
	if err := b.try(t.Context(), 2, registered); err != nil {
		t.Fatal(err)
	}
	if got := b.rows(t, 1)[ada.id].Verifier; got != "first" {
		t.Errorf("generation 1 has verifier %q", got)
	}
	if got := b.rows(t, 2)[ada.id].Verifier; got != "" {
		t.Errorf("generation 2 has verifier %q", got)
	}
}

func TestARehashedVerifierGoesWithItsPasswordAndItsPerson(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), newPerson("ada")
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO read.projections (name, generation, epoch, complete) VALUES ('access', 1, 1, true)`); err != nil {
		t.Fatal(err)
	}
	keeper := store.New(b.pool)
	rehash := func() {
		t.Helper()
		account, err := keeper.AccountByUsername(t.Context(), "ada")
		if err != nil {
			t.Fatal(err)
		}
		if err := keeper.SaveRehashed(t.Context(), account, account.Verifier, time.Now()); err != nil {
			t.Fatal(err)
		}
		if left := b.rehashed(t); left != 1 {
			t.Fatalf("%d rehashed verifiers, want 1", left)
		}
	}
	registered := ada.registered()
	b.apply(t, registered, ada.passwordSet("first", false))
	rehash()
	b.apply(t, ada.deactivated())
	if left := b.rehashed(t); left != 1 {
		t.Errorf("a deactivation left %d rehashed verifiers, want 1", left)
	}
	second := ada.passwordSet("second", false)
	b.apply(t, second)
	if left := b.rehashed(t); left != 0 {
		t.Errorf("a new password left %d rehashed verifiers", left)
	}
	rehash()
	// A shadow generation is made from the beginning; what serves stays.
	if err := b.try(t.Context(), 2, registered, second); err != nil {
		t.Fatal(err)
	}
	if left := b.rehashed(t); left != 1 {
		t.Errorf("a rebuild left %d rehashed verifiers, want 1", left)
	}
	b.apply(t, erased(registered))
	if left := b.rehashed(t); left != 0 {
		t.Errorf("an erasure left %d rehashed verifiers", left)
	}
}

func (b *bundle) rehashed(t *testing.T) int {
	t.Helper()
	var count int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM sessions.rehashed_verifiers`).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// A generation that is only made to be compared is given to Apply alone.
func TestApplyChangesItsGenerationAndNothingElse(t *testing.T) {
	t.Parallel()
	b, ada, bob := setup(t), newPerson("ada"), newPerson("bob")
	registered := ada.registered()
	b.apply(t, registered, ada.passwordSet("first", false), bob.registered())
	rows := b.rows(t, 1)
	b.exec(t, `INSERT INTO sessions.rehashed_verifiers (user_id, password_version, verifier, rehashed_at) VALUES ($1, 2, 'again', now())`, ada.id)
	for _, p := range []*person{ada, bob} {
		b.exec(t, `
			INSERT INTO sessions.sessions
				(session_id, user_id, password_version, access_version, counter, used_at, opened_at, last_used_at, expires_at, delete_on)
			VALUES (gen_random_uuid(), $1, 2, 2, 1, '{}', now(), now(), now(), now())`, p.id)
	}
	for _, events := range [][]eventstore.Opened{
		{registered, ada.passwordSet("second", false)},
		{erased(ada.passwordSet("third", false))},
		{ada.erased()},
		{erased(registered)},
	} {
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return access.Projection{}.Apply(t.Context(), tx, 2, events) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows, b.rows(t, 1)); diff != "" {
			t.Error("generation 1:", diff)
		}
		if rehashed, sessions := b.rehashed(t), b.sessions(t); rehashed != 1 || sessions != 2 {
			t.Errorf("%d rehashed verifiers and %d sessions are left, want 1 and 2", rehashed, sessions)
		}
	}
	if err := b.try(t.Context(), 2, erased(registered)); err != nil {
		t.Fatal(err)
	}
	if rehashed, sessions := b.rehashed(t), b.sessions(t); rehashed != 0 || sessions != 1 {
		t.Errorf("an erasure left %d rehashed verifiers and %d sessions, want 0 and bob's", rehashed, sessions)
	}
}

func (b *bundle) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	if _, err := b.pool.Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) sessions(t *testing.T) int {
	t.Helper()
	var count int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM sessions.sessions`).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// Of a generation that is being made the planner has no statistics, and expects
// a single row.
func TestABatchReadsTheRowsOfItsPeopleOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const fill = `
		INSERT INTO read.access
			(generation, user_id, username, email, named_at, password_version, must_change, active, roles, sessions_from, access_version)
		SELECT $1, md5(n::text)::uuid, n, n || '@example.org', now(), 0, false, true, '{}', 0, 1 FROM generate_series(1, 30000) AS n`
	b.exec(t, fill, 1)
	owner, err := pgx.Connect(t.Context(), b.owner.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	for _, statement := range []string{`ALTER TABLE read.access SET (autovacuum_enabled = off)`, `ANALYZE read.access`} {
		if _, err := owner.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	b.exec(t, fill, 2)
	ada, bob := newPerson("ada"), newPerson("bob")
	ada.version, bob.version = 1, 1
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nobody needs it
	if err := (access.Projection{}).Apply(t.Context(), tx, 2, []eventstore.Opened{ada.deactivated(), bob.erased()}); err != nil {
		t.Fatal(err)
	}
	var read int64
	if err := tx.QueryRow(t.Context(), `
		SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'read.access'::regclass`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	if read > 10 {
		t.Errorf("%d rows were read for two people", read)
	}
}

func TestAnEventAboutNobodyFailsTheBatch(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), newPerson("ada")
	if err := b.try(t.Context(), 1, ada.registered(), ada.event(&eventsv1.UserDeactivated{UserId: "nobody"})); err == nil {
		t.Fatal("it was applied")
	}
	if rows := b.rows(t, 1); len(rows) != 0 {
		t.Errorf("half of the batch is in the rows: %+v", rows)
	}
}
