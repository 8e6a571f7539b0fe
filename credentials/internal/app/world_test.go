package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/signing"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/platform/token"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rightPassword = "correct horse"

var (
	// cheap costs, for tests that are not about the costs.
	cheap    = password.Params{MemoryKiB: 8, Time: 1, Parallelism: 1}
	lifetime = session.Lifetime{Idle: 30 * 24 * time.Hour, Absolute: 90 * 24 * time.Hour}
)

// world is credentials on a real database, with a clock that the test moves and
// a projection that it feeds.
type world struct {
	*app.App
	db        *pgxpool.Pool
	store     *store.Store
	passwords *password.Pool
	tokens    session.Tokens
	ring      *signing.Ring
	awaiter   *awaiter
	rehasher  *app.Rehasher
	logged    *bytes.Buffer
	clock     *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// awaiter stands for the projector.
type awaiter struct {
	err     error
	awaited []eventstore.Position
}

func (a *awaiter) Await(_ context.Context, position eventstore.Position) error {
	a.awaited = append(a.awaited, position)
	return a.err
}

func newWorld(t *testing.T) *world { return newWorldWithCosts(t, cheap) }

// openDatabase is a fresh one, migrated and without rows.
func openDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	urls := teststack.Database(t, append(sets, database.Migrations{Schema: "read", Part: "projection_", Files: projection.Migrations})...)
	db, err := database.Open(t.Context(), urls.Runtime, "credentials", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func newWorldWithCosts(t *testing.T, costs password.Params) *world {
	t.Helper()
	db := openDatabase(t)
	if _, err := db.Exec(t.Context(), `INSERT INTO read.projections (name, generation, epoch, complete) VALUES ('access', 1, 1, true)`); err != nil {
		t.Fatal(err)
	}
	w := &world{
		db:        db,
		store:     store.New(db),
		passwords: password.NewPool(costs, 2, 100),
		tokens:    session.NewTokens(secret.NewBytes([]byte("0123456789abcdef0123456789abcdef"))),
		awaiter:   &awaiter{},
		logged:    &bytes.Buffer{},
		clock:     &clock{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)},
	}
	w.ring = w.openRing(t)
	w.rehasher = app.NewRehasher(w.store, w.passwords, w.logger(), w.clock.Now)
	w.App = w.with(w.passwords)
	return w
}

// with is the world's App on another hashing pool.
func (w *world) with(passwords *password.Pool) *app.App {
	return app.New(app.Config{
		Store: w.store, Passwords: passwords, Access: w.awaiter, Keys: w.ring, RefreshTokens: w.tokens,
		Lifetime: lifetime, Rehasher: w.rehasher, Logger: w.logger(), Now: w.clock.Now,
	})
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// openRing opens the signing keys as a process that starts does.
func (w *world) openRing(t *testing.T) *signing.Ring {
	t.Helper()
	sealer := newSealer(t)
	keys, err := w.store.SigningKeys(t.Context(), func() (signing.Key, error) { return sealer.Generate(w.clock.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	ring, err := signing.NewRing(signing.Config{
		Issuer: "https://muster.example", Audience: "muster", TokenLifetime: 15 * time.Minute, Now: w.clock.Now,
	}, sealer, keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newSealer(t *testing.T) signing.Sealer {
	t.Helper()
	sealer, err := signing.NewSealer(secret.NewBytes([]byte("fedcba9876543210fedcba9876543210")))
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// claims checks an access token as every service does.
func (w *world) claims(t *testing.T, signed secret.String) token.Claims {
	t.Helper()
	verifier := token.NewVerifier(token.VerifierConfig{Issuer: "https://muster.example", Audience: "muster", Keys: w.ring, Now: w.clock.Now})
	claims, err := verifier.Verify(t.Context(), signed)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// person is an account, whose events the test writes.
type person struct {
	w       *world
	id      uuid.UUID
	version int64
	past    []eventstore.Opened
}

// join registers a person with the right password and the role of a reader.
func (w *world) join(t *testing.T, name string) *person {
	t.Helper()
	p := &person{w: w, id: uuid.New()}
	p.apply(t, &eventsv1.UserRegistered{UserId: p.id.String(), Username: name, Email: name + "@example.org", Roles: []string{"reader"}})
	p.setPassword(t, rightPassword, false)
	return p
}

func (p *person) setPassword(t *testing.T, text string, mustChange bool) {
	t.Helper()
	verifier, err := p.w.passwords.Hash(t.Context(), secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	kind := eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN
	if mustChange {
		kind = eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME
	}
	p.apply(t, &eventsv1.PasswordSet{UserId: p.id.String(), Verifier: verifier.Reveal(), Kind: kind})
}

func (p *person) deactivate(t *testing.T) {
	t.Helper()
	p.apply(t, &eventsv1.UserDeactivated{UserId: p.id.String()})
}

func (p *person) reactivate(t *testing.T) {
	t.Helper()
	p.apply(t, &eventsv1.UserReactivated{UserId: p.id.String()})
}

func (p *person) erase(t *testing.T) {
	t.Helper()
	p.apply(t, &eventsv1.UserErased{UserId: p.id.String()})
}

func (p *person) apply(t *testing.T, message proto.Message) {
	t.Helper()
	p.version++
	event := eventstore.Opened{
		Event: eventstore.Event{
			ID: uuid.New(), Log: "identity", Epoch: 1, Stream: "user-" + p.id.String(), Version: p.version, OccurredAt: p.w.clock.Now(),
		},
		Message: message,
	}
	p.past = append(p.past, event)
	p.w.project(t, 1, event)
}

// project applies an event to a generation of the rows.
func (w *world) project(t *testing.T, generation int64, event eventstore.Opened) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), w.db, func(tx pgx.Tx) error {
		return applyAccess(t.Context(), tx, generation, event)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// applyAccess does what the projector does with a batch.
func applyAccess(ctx context.Context, tx pgx.Tx, generation int64, events ...eventstore.Opened) error {
	if err := (access.Projection{}).Apply(ctx, tx, generation, events); err != nil {
		return err
	}
	return access.Projection{}.React(ctx, tx, events)
}

func (w *world) login(t *testing.T, name string) app.LoggedIn {
	t.Helper()
	loggedIn, err := w.Login(t.Context(), app.Login{Name: name, Password: secret.New(rightPassword)})
	if err != nil {
		t.Fatal(err)
	}
	return loggedIn
}

func (w *world) refresh(t *testing.T, token secret.String) app.Tokens {
	t.Helper()
	tokens, err := w.Refresh(t.Context(), app.Refresh{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (w *world) refused(t *testing.T, token secret.String, want error) {
	t.Helper()
	tokens, err := w.Refresh(t.Context(), app.Refresh{Token: token})
	if !errors.Is(err, want) {
		t.Errorf("refresh: %v, want %v", err, want)
	}
	if !tokens.Access.Empty() || !tokens.Refresh.Empty() {
		t.Error("something was issued")
	}
}

func (w *world) sessions(t *testing.T) int {
	t.Helper()
	var count int
	if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM sessions.sessions`).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}
