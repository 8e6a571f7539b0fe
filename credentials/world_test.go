package credentials_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/credentials"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections to RabbitMQ's management API, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

var discard = slog.New(slog.DiscardHandler)

const rightPassword = "correct horse"

// world is credentials as a process, beside a log and a keyring that are served
// over mTLS as identity serves them.
type world struct {
	config    credentials.Config
	log       *postgres.Log
	codec     *seal.Codec
	keyring   *eventtest.Keyring
	passwords *password.Pool
	// now is when what is appended occurred.
	now func() time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	certificates := t.TempDir()
	if err := certificate.MakeAuthority(certificates, "gateway", "identity", "credentials", "media", "operator"); err != nil {
		t.Fatal(err)
	}
	logDatabase := teststack.Database(t, database.Migrations{Schema: "log", Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), logDatabase.Runtime, "identity", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", discard)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{log: log, keyring: eventtest.NewKeyring(), now: time.Now}
	w.codec = seal.NewCodec(w.keyring, w.keyring, protoregistry.GlobalTypes, upcast.Step)
	w.passwords = password.NewPool(password.Params{MemoryKiB: 8, Time: 1, Parallelism: 1}, 2, 100)

	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	rows := teststack.Database(t, append(sets, database.Migrations{Schema: "read", Part: "projection_", Files: projection.Migrations})...)
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	w.config = credentials.Config{
		Listen:               "127.0.0.1:0",
		Certificates:         certificates,
		IdentityURL:          "https://" + w.serveIdentity(t, certificates),
		DatabaseURL:          rows.Runtime,
		DatabaseOwnerURL:     rows.Owner,
		DatabaseConnections:  8,
		KeyEncryptionKey:     secret.New(base64.StdEncoding.EncodeToString(key)),
		TokenIssuer:          "https://muster.example",
		TokenAudience:        "muster",
		AccessTokenLifetime:  15 * time.Minute,
		SessionIdleLifetime:  30 * 24 * time.Hour,
		SessionTotalLifetime: 90 * 24 * time.Hour,
		Passwords:            password.Settings{MemoryKiB: 8, Time: 1, Parallelism: 1},
	}
	return w
}

// serveIdentity serves log and keyring and gives the address.
func (w *world) serveIdentity(t *testing.T, certificates string) string {
	t.Helper()
	self, err := certificate.Load(certificates, "identity")
	if err != nil {
		t.Fatal(err)
	}
	options := serve.Interceptors(serve.Config{Logger: discard})
	mux := http.NewServeMux()
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(w.log), options))
	mux.Handle(keyringv1connect.NewKeyringServiceHandler(w.keyring, options))
	server, err := serve.New(serve.ServerConfig{Name: "identity", Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	teststack.Background(t, server.Run)
	teststack.Background(t, w.log.Run)
	return server.Addr()
}

// start starts credentials and waits until it is ready.
func (w *world) start(t *testing.T) (address string, stop func()) {
	t.Helper()
	service, stop := w.begin(t)
	select {
	case <-service.Ready():
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	return service.Addr(), stop
}

// begin starts credentials, whose rows may be old still.
func (w *world) begin(t *testing.T) (service *credentials.Service, stop func()) {
	t.Helper()
	service, err := credentials.New(t.Context(), w.config, discard)
	if err != nil {
		t.Fatal(err)
	}
	return service, teststack.Background(t, service.Run)
}

// client speaks to credentials as one of the services.
func (w *world) client(t *testing.T, as, address string) credentialsv1connect.CredentialsServiceClient {
	t.Helper()
	self, err := certificate.Load(w.config.Certificates, as)
	if err != nil {
		t.Fatal(err)
	}
	client := serve.InternalClient(self, "credentials", "https://"+address)
	t.Cleanup(client.CloseIdleConnections)
	return credentialsv1connect.NewCredentialsServiceClient(client, "https://"+address, serve.ClientInterceptors())
}

// register appends what identity appends for a new account.
func (w *world) register(t *testing.T, name string) (uuid.UUID, *eventlogv1.Position) {
	t.Helper()
	id, position, err := w.tryRegister(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return id, position
}

func (w *world) append(t *testing.T, id uuid.UUID, expected eventstore.ExpectedVersion, messages ...proto.Message) *eventlogv1.Position {
	t.Helper()
	position, err := w.tryAppend(t.Context(), id, expected, messages...)
	if err != nil {
		t.Fatal(err)
	}
	return position
}

// tryRegister is for goroutines, which may not end the test.
func (w *world) tryRegister(ctx context.Context, name string) (uuid.UUID, *eventlogv1.Position, error) {
	id := uuid.New()
	verifier, err := w.passwords.Hash(ctx, secret.New(rightPassword))
	if err != nil {
		return id, nil, err
	}
	position, err := w.tryAppend(ctx, id, eventstore.NoStream,
		&eventsv1.UserRegistered{UserId: id.String(), Username: name, Email: name + "@example.org"},
		&eventsv1.PasswordSet{UserId: id.String(), Verifier: verifier.Reveal()})
	return id, position, err
}

func (w *world) tryAppend(ctx context.Context, id uuid.UUID, expected eventstore.ExpectedVersion, messages ...proto.Message) (*eventlogv1.Position, error) {
	stream := "user-" + id.String()
	events := make([]eventstore.Event, len(messages))
	drafts := make([]eventstore.Draft, len(messages))
	for i, message := range messages {
		eventID, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		events[i] = eventstore.Event{ID: eventID, Log: "identity", Stream: stream, OccurredAt: w.now().UTC()}
		drafts[i] = eventstore.Draft{Event: &events[i], Message: message}
	}
	if err := w.codec.Encode(ctx, drafts); err != nil {
		return nil, err
	}
	appended, err := w.log.Append(ctx, eventstore.Append{Stream: stream, Expected: expected, Events: events})
	if err != nil {
		return nil, err
	}
	at := appended.Position
	return &eventlogv1.Position{Log: at.Log, Epoch: at.Epoch, Stream: at.Stream, Version: at.Version}, nil
}
