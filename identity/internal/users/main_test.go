package users_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is read.users in a database of its own, generation 1 serving.
type table struct {
	pool  *pgxpool.Pool
	rows  *users.Rows
	owner secret.String
}

func newTable(t testing.TB) *table {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	urls := teststack.Database(t, sets...)
	pool, err := database.Open(t.Context(), urls.Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &table{pool, users.NewRows(pool), urls.Owner}
	b.exec(t, `INSERT INTO read.projections (name, generation, epoch) VALUES ('users', 1, 1), ('avatars', 1, 1)`)
	return b
}

func (b *table) exec(t testing.TB, statement string, arguments ...any) {
	t.Helper()
	if _, err := b.pool.Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

func (b *table) try(ctx context.Context, generation int64, events ...eventstore.Opened) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		return users.Projection{}.Apply(ctx, tx, generation, events)
	})
}

func (b *table) apply(t testing.TB, events ...eventstore.Opened) {
	t.Helper()
	if err := b.try(t.Context(), 1, events...); err != nil {
		t.Fatal(err)
	}
}

// analyze does what autovacuum does in service, and the owner alone may.
func (b *table) analyze(t testing.TB) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), b.owner.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	if _, err := owner.Exec(t.Context(), `VACUUM ANALYZE read.users`); err != nil {
		t.Fatal(err)
	}
}

// all lists everybody whom a query finds, on one page.
func (b *table) all(t testing.TB, query users.Query) []users.User {
	t.Helper()
	if query.Limit == 0 {
		query.Limit = 1_000_000
	}
	found, err := b.rows.List(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// person makes the events of a stream.
type person struct {
	id      uuid.UUID
	version int64
	at      time.Time
}

func newPerson() *person {
	return &person{id: uuid.New(), at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
}

// event is the next one, a second later.
func (p *person) event(message proto.Message) eventstore.Opened {
	p.version++
	p.at = p.at.Add(time.Second)
	return eventstore.Opened{
		Event: eventstore.Event{
			ID: uuid.New(), Stream: "user-" + p.id.String(), Version: p.version, OccurredAt: p.at,
			Type: string(message.ProtoReflect().Descriptor().FullName()),
		},
		Message: message,
	}
}

func (p *person) registered(name string, roles ...string) eventstore.Opened {
	return p.event(&eventsv1.UserRegistered{
		UserId: p.id.String(), Username: name, Email: name + "@example.org", FirstName: "First" + name, LastName: "Last" + name, Roles: roles,
	})
}

// erased is the event after its key was destroyed.
func erased(event eventstore.Opened) eventstore.Opened {
	event.Erased = true
	if message, ok := event.Message.(*eventsv1.UserRegistered); ok {
		event.Message = &eventsv1.UserRegistered{UserId: message.GetUserId(), Roles: message.GetRoles()}
	}
	return event
}
