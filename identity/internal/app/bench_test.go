package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is identity's commands on a real log and a real keyring.
type bench struct {
	app.App
	config    app.Config
	pool      *pgxpool.Pool
	log       *postgres.Log
	codec     *seal.Codec
	ring      *keyring.Keyring
	passwords *password.Pool
}

func newBench(t *testing.T) bench {
	t.Helper()
	ctx := t.Context()
	// One database for both is quicker to make; in service they are two.
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()}, keyring.Migrations())
	pool, err := database.Open(ctx, urls.Runtime, "identity test", 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(ctx, pool, app.LogName, nil)
	if err != nil {
		t.Fatal(err)
	}
	kek, err := keyring.ParseKeyEncryptionKey(secret.New(strings.Repeat("0f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(ctx, pool, kek, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	codec := seal.NewCodec(ring, ring, protoregistry.GlobalTypes, upcast.Step)
	// The cheapest hash there is, so that the tests are about all else.
	passwords := password.NewPool(password.Params{MemoryKiB: 8, Time: 1, Parallelism: 1}, 4, 64)
	config := app.Config{
		Log:          log,
		Codec:        codec,
		Reservations: ring.Reservations(),
		Fingerprints: ring.Fingerprints(),
		Passwords:    passwords,
		Exclusive:    store.NewExclusive(pool),
		Avatars:      pictureless{},
		Now:          time.Now,
		NewID:        uuid.NewV7,
	}
	return bench{App: app.New(config), config: config, pool: pool, log: log, codec: codec, ring: ring, passwords: passwords}
}

// pictureless is a projection in which nobody has a picture.
type pictureless struct{}

func (pictureless) AvatarOf(context.Context, string) (string, error) { return "", nil }

// with makes the same commands with something changed.
func (b bench) with(change func(*app.Config)) app.App {
	config := b.config
	change(&config)
	return app.New(config)
}

func ada() app.Register {
	return app.Register{
		Username:  "Ada.Canary",
		Email:     "Ada@Canary-Mail.example",
		Password:  secret.New("canary-password-1"),
		FirstName: "Adacanary",
		LastName:  "Lovelacecanary",
		Request: app.Request{
			ID:          "request-1",
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Origin:      &eventstore.Origin{Address: "192.0.2.77", UserAgent: "canary-agent/1.0"},
		},
	}
}

func (b bench) register(t *testing.T, command app.Register) app.Registered {
	t.Helper()
	registered, err := b.Commands.Register.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return registered
}

// events are those of an account's stream, opened.
func (b bench) events(t *testing.T, userID string) []eventstore.Opened {
	t.Helper()
	events, err := b.log.ReadStream(t.Context(), user.Stream(userID), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := b.codec.Decode(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// opensWith tells whether a password is an account's.
func (b bench) opensWith(t *testing.T, userID, password string) bool {
	t.Helper()
	account := user.New()
	for _, event := range b.events(t, userID) {
		account.Apply(event)
	}
	right, err := b.passwords.Verify(t.Context(), account.Password().Verifier, secret.New(password))
	if err != nil {
		t.Fatal(err)
	}
	return right
}

// count counts what a query finds.
func (b bench) count(t *testing.T, query string) int {
	t.Helper()
	var count int
	if err := b.pool.QueryRow(t.Context(), query).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// expect compares an error with the one that a rule demands.
func expect(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

// overloaded hashes nothing.
type overloaded struct{}

func (overloaded) Hash(context.Context, secret.String) (secret.String, error) {
	return secret.String{}, &password.OverloadedError{RetryAfter: time.Second}
}

func (overloaded) Verify(context.Context, secret.String, secret.String) (bool, error) {
	return false, &password.OverloadedError{RetryAfter: time.Second}
}

// interrupted is a log whose appends first do something else.
type interrupted struct {
	app.Log
	before func() error
}

func (i interrupted) Append(ctx context.Context, a eventstore.Append) (eventstore.Appended, error) {
	if err := i.before(); err != nil {
		return eventstore.Appended{}, err
	}
	return i.Log.Append(ctx, a)
}

// overtaken is a log that a double reaches right after the first look for it.
type overtaken struct {
	app.Log
	once *sync.Once
	by   func() error
}

func (o overtaken) FindCommand(ctx context.Context, command eventstore.Command) (eventstore.Position, bool, error) {
	position, found, err := o.Log.FindCommand(ctx, command)
	o.once.Do(func() { err = errors.Join(err, o.by()) })
	return position, found, err
}
