package identity_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections to the broker's management API, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

const (
	issuer   = "http://muster.test"
	audience = "muster"
)

// house is identity with what it needs of the rest: certificates, databases, and
// a credentials service that tells its signing key.
type house struct {
	config       identity.Config
	certificates string
	signer       *token.Signer
	log          *lines
	url          string
	stop         context.CancelFunc
	ended        chan error
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newHouse makes everything but identity itself.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{certificates: t.TempDir(), log: &lines{}}
	if err := certificate.MakeAuthority(h.certificates, "identity", "credentials", "gateway", "media", "operator"); err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.signer = token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "test", Key: private})
	jwks, err := token.JWKS(token.PublicKey{ID: "test", Key: public})
	if err != nil {
		t.Fatal(err)
	}
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	events := teststack.Database(t, sets...)
	keys := teststack.Database(t, keyring.Migrations())
	h.config = identity.Config{
		Listen:                  "127.0.0.1:0",
		Certificates:            h.certificates,
		CredentialsURL:          h.credentials(t, jwks),
		MediaURL:                "https://127.0.0.1:1", // where nobody is
		DatabaseURL:             events.Runtime,
		DatabaseOwnerURL:        events.Owner,
		KeyringDatabaseURL:      keys.Runtime,
		KeyringDatabaseOwnerURL: keys.Owner,
		KeyEncryptionKey:        secret.New(strings.Repeat("0f", 32)),
		AdminUsername:           "admin",
		AdminEmail:              "admin@muster.internal",
		FirstAdminPasswordFile:  filepath.Join(t.TempDir(), "admin-password"),
		TokenIssuer:             issuer,
		TokenAudience:           audience,
		Passwords:               password.Settings{MemoryKiB: 8, Time: 1, Parallelism: 1},
	}
	return h
}

// signingKeys is credentials as identity knows it.
type signingKeys struct {
	credentialsv1connect.UnimplementedCredentialsServiceHandler
	jwks []byte
}

func (s signingKeys) GetSigningKeys(context.Context, *connect.Request[credentialsv1.GetSigningKeysRequest]) (*connect.Response[credentialsv1.GetSigningKeysResponse], error) {
	return connect.NewResponse(&credentialsv1.GetSigningKeysResponse{Jwks: s.jwks}), nil
}

func (h *house) credentials(t *testing.T, jwks []byte) (url string) {
	t.Helper()
	self, err := certificate.Load(h.certificates, "credentials")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle(credentialsv1connect.NewCredentialsServiceHandler(signingKeys{jwks: jwks}, serve.Interceptors(serve.Config{Logger: logger})))
	server, err := serve.New(serve.ServerConfig{Name: "credentials", Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	run(t, server.Run)
	return "https://" + server.Addr()
}

// run runs something until the test ends, or stop is called.
func run(t *testing.T, part func(context.Context) error) (stop context.CancelFunc, ended chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended = make(chan error, 1)
	go func() {
		ended <- part(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("it ended with: %v", err)
		}
	})
	return stop, ended
}

// start starts identity and waits until it answers.
func (h *house) start(t *testing.T) *house {
	t.Helper()
	service, err := identity.New(t.Context(), h.config, telemetry.NewLogger(h.log, slog.LevelDebug, telemetry.JSON))
	if err != nil {
		t.Fatal(err)
	}
	h.stop, h.ended = run(t, service.Run)
	<-service.Ready()
	h.url = "https://" + service.Addr()
	return h
}

// as is the HTTP client of a service.
func (h *house) as(t *testing.T, service string) *http.Client {
	t.Helper()
	self, err := certificate.Load(h.certificates, service)
	if err != nil {
		t.Fatal(err)
	}
	client := serve.InternalClient(self, "identity", h.url)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func (h *house) identity(t *testing.T, caller string) identityv1connect.IdentityServiceClient {
	return identityv1connect.NewIdentityServiceClient(h.as(t, caller), h.url, serve.ClientInterceptors())
}

func (h *house) keyring(t *testing.T, caller string) keyringv1connect.KeyringServiceClient {
	return keyringv1connect.NewKeyringServiceClient(h.as(t, caller), h.url, serve.ClientInterceptors())
}

func (h *house) events(t *testing.T, caller string) *eventlog.Client {
	return eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(h.as(t, caller), h.url, serve.ClientInterceptors()))
}

// signedIn puts a person's access token on a request.
func signedIn[T any](t *testing.T, h *house, userID string, message *T, change func(*token.Claims)) *connect.Request[T] {
	t.Helper()
	claims := token.Claims{
		Subject: userID, SessionID: uuid.NewString(), ID: uuid.NewString(), AccessVersion: 2,
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
	}
	if change != nil {
		change(&claims)
	}
	signed, err := h.signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	request := connect.NewRequest(message)
	request.Header().Set("Authorization", "Bearer "+signed.Reveal())
	return request
}

func ada() *identityv1.RegisterUserRequest {
	return &identityv1.RegisterUserRequest{
		Username: "Ada.Canary", Email: "ada@canary.example", Password: "canary-password-1",
		FirstName: "Adacanary", LastName: "Lovelacecanary", IdempotencyKey: "0123456789abcdef",
	}
}

func (h *house) register(t *testing.T) *identityv1.RegisterUserResponse {
	t.Helper()
	ctx := telemetry.WithRequest(t.Context(), telemetry.Request{ID: "request-of-ada", ClientAddress: "192.0.2.77", UserAgent: "canary-agent"})
	response, err := h.identity(t, "gateway").RegisterUser(ctx, connect.NewRequest(ada()))
	if err != nil {
		t.Fatal(err)
	}
	return response.Msg
}

// expect compares an error with the reason, and the field, that a rule demands.
func expect(t *testing.T, what string, err error, want musterv1.Reason, field string) {
	t.Helper()
	detail, _ := reason.DetailOf(err)
	if reason.Of(err) != want || detail.GetField() != field {
		t.Errorf("%s: got %v for field %q, want %v for %q", what, err, detail.GetField(), want, field)
	}
}

func TestPersonRegistersAndKeepsAProfile(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	registered := h.register(t)
	if position := registered.GetPosition(); position.GetLog() != "identity" || position.GetEpoch() == 0 || position.GetStream() != "user-"+registered.GetUserId() || position.GetVersion() != 2 {
		t.Errorf("position %v", position)
	}
	again, err := client.RegisterUser(t.Context(), connect.NewRequest(ada()))
	if err != nil || again.Msg.GetUserId() != registered.GetUserId() {
		t.Errorf("the repeated registration is answered %v, %v", again, err)
	}

	updated, err := client.UpdateProfile(t.Context(), signedIn(t, h, registered.GetUserId(), &identityv1.UpdateProfileRequest{FirstName: new("Augusta")}, nil))
	if err != nil || updated.Msg.GetProfile().GetFirstName() != "Augusta" || updated.Msg.GetPosition().GetVersion() != 3 {
		t.Errorf("update: %v, %v", updated, err)
	}
	got, err := client.GetProfile(t.Context(), signedIn(t, h, registered.GetUserId(), &identityv1.GetProfileRequest{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	profile := got.Msg.GetProfile()
	if profile.GetUserId() != registered.GetUserId() || profile.GetUsername() != "ada.canary" || profile.GetEmail() != "ada@canary.example" ||
		profile.GetFirstName() != "Augusta" || profile.GetLastName() != "Lovelacecanary" || !profile.GetActive() ||
		!profile.GetUpdatedAt().AsTime().After(profile.GetRegisteredAt().AsTime()) {
		t.Errorf("profile %v", profile)
	}
	changed, err := client.ChangePassword(t.Context(), signedIn(t, h, registered.GetUserId(), &identityv1.ChangePasswordRequest{
		PresentPassword: "canary-password-1", NewPassword: "canary-password-2",
	}, func(c *token.Claims) { c.PasswordChangePending = true }))
	if err != nil || changed.Msg.GetPosition().GetVersion() != 4 {
		t.Errorf("change password: %v, %v", changed, err)
	}
}

func TestEachRefusalHasItsReasonAndField(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	id := h.register(t).GetUserId()
	register := func(spoil func(*identityv1.RegisterUserRequest)) error {
		request := ada()
		request.IdempotencyKey = ""
		spoil(request)
		_, err := client.RegisterUser(t.Context(), connect.NewRequest(request))
		return err
	}
	change := func(userID, present, chosen string) error {
		_, err := client.ChangePassword(t.Context(), signedIn(t, h, userID, &identityv1.ChangePasswordRequest{PresentPassword: present, NewPassword: chosen}, nil))
		return err
	}
	expect(t, "username taken", register(func(*identityv1.RegisterUserRequest) {}), musterv1.Reason_REASON_USERNAME_TAKEN, "username")
	expect(t, "email taken", register(func(r *identityv1.RegisterUserRequest) { r.Username = "free" }), musterv1.Reason_REASON_EMAIL_TAKEN, "email")
	expect(t, "look-alike space", register(func(r *identityv1.RegisterUserRequest) { r.FirstName = "Ada\u00a0Maria" }), musterv1.Reason_REASON_INVALID_ARGUMENT, "firstName")
	expect(t, "short password", register(func(r *identityv1.RegisterUserRequest) { r.Password = "short" }), musterv1.Reason_REASON_INVALID_ARGUMENT, "password")
	expect(t, "key with another request", register(func(r *identityv1.RegisterUserRequest) {
		r.LastName, r.IdempotencyKey = "Byron", ada().GetIdempotencyKey()
	}), musterv1.Reason_REASON_IDEMPOTENCY_KEY_REUSED, "")
	expect(t, "wrong password", change(id, "canary-password-9", "canary-password-2"), musterv1.Reason_REASON_WRONG_PASSWORD, "presentPassword")
	expect(t, "unchanged password", change(id, "canary-password-1", "canary-password-1"), musterv1.Reason_REASON_PASSWORD_UNCHANGED, "newPassword")
	expect(t, "nobody's password", change(uuid.NewString(), "canary-password-1", "canary-password-2"), musterv1.Reason_REASON_NOT_FOUND, "")

	_, err := client.GetProfile(t.Context(), connect.NewRequest(&identityv1.GetProfileRequest{}))
	expect(t, "no token", err, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	_, err = client.GetProfile(t.Context(), signedIn(t, h, id, &identityv1.GetProfileRequest{}, func(c *token.Claims) {
		c.IssuedAt, c.ExpiresAt = c.IssuedAt.Add(-time.Hour), c.ExpiresAt.Add(-time.Hour)
	}))
	expect(t, "expired token", err, musterv1.Reason_REASON_TOKEN_EXPIRED, "")
	_, err = client.GetProfile(t.Context(), signedIn(t, h, id, &identityv1.GetProfileRequest{}, func(c *token.Claims) { c.PasswordChangePending = true }))
	expect(t, "password to be changed first", err, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
	forged := *h
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	forged.signer = token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "test", Key: other})
	_, err = client.GetProfile(t.Context(), signedIn(t, &forged, id, &identityv1.GetProfileRequest{}, nil))
	expect(t, "forged token", err, musterv1.Reason_REASON_TOKEN_INVALID, "")
}

func TestServicesAreServedByTheirList(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	id := &keyringv1.GetKeysRequest{KeyIds: []string{uuid.NewString()}}
	_, err := h.identity(t, "credentials").RegisterUser(t.Context(), connect.NewRequest(ada()))
	expect(t, "credentials registers", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	_, err = h.keyring(t, "gateway").GetKeys(t.Context(), connect.NewRequest(id))
	expect(t, "the gateway asks for keys", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	_, err = h.events(t, "gateway").ReadLog(t.Context(), "", 10, 0)
	expect(t, "the gateway reads the log", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	answer, err := h.keyring(t, "credentials").GetKeys(t.Context(), connect.NewRequest(id))
	if err != nil || len(answer.Msg.GetKeys()) != 1 || answer.Msg.GetKeys()[0].GetState() != keyringv1.KeyState_KEY_STATE_UNKNOWN {
		t.Errorf("credentials asks for a key that there never was: %v, %v", answer, err)
	}
	// Of another authority: not even a handshake.
	strangers := t.TempDir()
	if err := certificate.MakeAuthority(strangers, "gateway"); err != nil {
		t.Fatal(err)
	}
	stranger := *h
	stranger.certificates = strangers
	if _, err := stranger.identity(t, "gateway").RegisterUser(t.Context(), connect.NewRequest(ada())); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a stranger is answered %v", err)
	}
	health, err := grpchealth.NewClient(h.as(t, "gateway"), h.url, serve.ClientInterceptors()).Check(t.Context(), &grpchealth.CheckRequest{Service: identityv1connect.IdentityServiceName})
	if err != nil || health.Status != grpchealth.StatusServing {
		t.Errorf("health %v, %v", health, err)
	}
}

func TestHealthIsThatOfBothDatabases(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	for _, away := range []secret.String{h.config.DatabaseURL, h.config.KeyringDatabaseURL} {
		h.untilHealth(t, grpchealth.StatusServing)
		back := teststack.TakeAway(t, away)
		h.untilHealth(t, grpchealth.StatusNotServing)
		back()
	}
	h.untilHealth(t, grpchealth.StatusServing)
}

// untilHealth asks until the answer is the wanted one.
func (h *house) untilHealth(t *testing.T, want grpchealth.Status) {
	t.Helper()
	client := grpchealth.NewClient(h.as(t, "gateway"), h.url, serve.ClientInterceptors())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		health, err := client.Check(ctx, &grpchealth.CheckRequest{Service: identityv1connect.IdentityServiceName})
		if err != nil {
			t.Fatal(err)
		}
		if health.Status == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("health stays %v", health.Status)
		}
	}
}

// TestAnotherServiceOpensTheEvents is the way of credentials: the log over its
// RPC, the keys over theirs.
func TestAnotherServiceOpensTheEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	registered := h.register(t)
	page, err := h.events(t, "credentials").ReadLog(t.Context(), "", 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	codec := seal.NewCodec(seal.RemoteKeys(h.keyring(t, "credentials")), nil, protoregistry.GlobalTypes, upcast.Step)
	opened, err := codec.Decode(t.Context(), page.Events)
	if err != nil {
		t.Fatal(err)
	}
	if len(opened) != 4 { // the administrator's two, and Ada's
		t.Fatalf("%d events, want 4", len(opened))
	}
	who, _ := opened[2].Message.(*eventsv1.UserRegistered)
	set, _ := opened[3].Message.(*eventsv1.PasswordSet)
	if who.GetUsername() != "ada.canary" || !strings.HasPrefix(set.GetVerifier(), "$argon2id$") {
		t.Errorf("opened %v", opened[2:])
	}
	if metadata := opened[2].Metadata; metadata.Actor != "user-"+registered.GetUserId() || metadata.RequestID != "request-of-ada" || metadata.TraceParent == "" {
		t.Errorf("metadata %+v", metadata)
	}
	if len(opened[2].MetadataSealed) == 0 {
		t.Error("where the request came from is not recorded")
	}
}

func TestEventsReachTheBroker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.BrokerURL = secret.New(teststack.VirtualHost(t))
	connection, err := broker.Connect(t.Context(), broker.Config{URL: h.config.BrokerURL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	subscriber := broker.NewSubscriber(connection, broker.Topology{Queue: "test.users", Bindings: []string{"identity.user.*"}})
	messages, err := subscriber.Subscribe(t.Context(), "test.users")
	if err != nil {
		t.Fatal(err)
	}
	h.start(t)
	registered := h.register(t)
	for {
		message := <-messages
		event, err := broker.Decode(message)
		if err != nil {
			t.Fatal(err)
		}
		message.Ack()
		if bytes.Contains(bytes.ToLower(message.Payload), []byte("canary")) || bytes.Contains(message.Payload, []byte("$argon2id")) {
			t.Error("a message holds something personal in clear")
		}
		if event.Stream == registered.GetPosition().GetStream() && event.Version == registered.GetPosition().GetVersion() {
			break
		}
	}
	if err := errors.Join(subscriber.Close(), connection.Close()); err != nil {
		t.Error(err)
	}
}

func TestLogLinesHoldNothingPersonal(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	id := h.register(t).GetUserId()
	taken := ada()
	taken.IdempotencyKey = ""
	_, _ = client.RegisterUser(t.Context(), connect.NewRequest(taken))
	_, _ = client.ChangePassword(t.Context(), signedIn(t, h, id, &identityv1.ChangePasswordRequest{PresentPassword: "canary-password-9", NewPassword: "canary-password-2"}, nil))
	_, _ = client.UpdateProfile(t.Context(), signedIn(t, h, id, &identityv1.UpdateProfileRequest{FirstName: new("canary\u202ename")}, nil))
	h.stop()
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	text := h.log.String()
	if !strings.Contains(text, "USERNAME_TAKEN") || !strings.Contains(text, "WRONG_PASSWORD") {
		t.Errorf("the log lacks the refusals, so it proves nothing:\n%s", text)
	}
	password, err := os.ReadFile(h.config.FirstAdminPasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"canary", "argon2id", "192.0.2.77", strings.TrimSpace(string(password)), hex.EncodeToString([]byte("canary"))} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
			t.Errorf("the log holds %q:\n%s", canary, text)
		}
	}
}

func TestSecondStartFindsItsData(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	id := h.register(t).GetUserId()
	before, err := os.ReadFile(h.config.FirstAdminPasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	h.stop()
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	h.start(t)
	got, err := h.identity(t, "gateway").GetProfile(t.Context(), signedIn(t, h, id, &identityv1.GetProfileRequest{}, nil))
	if err != nil || got.Msg.GetProfile().GetUsername() != "ada.canary" {
		t.Errorf("profile %v, %v", got, err)
	}
	after, err := os.ReadFile(h.config.FirstAdminPasswordFile)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the first administrator's password was written again: %v", err)
	}
	_, err = h.events(t, "credentials").ReadStream(t.Context(), "user-"+id, 1, 10)
	if errors.Is(err, eventstore.ErrStreamNotFound) || err != nil {
		t.Error(err)
	}
}

func TestSettingsAreReadWithTheirDefaults(t *testing.T) {
	t.Parallel()
	var settings identity.Config
	environ := []string{}
	for _, required := range []string{
		"CERTIFICATES", "CREDENTIALS_URL", "MEDIA_URL", "DATABASE_URL", "DATABASE_OWNER_URL", "KEYRING_DATABASE_URL", "KEYRING_DATABASE_OWNER_URL",
		"KEY_ENCRYPTION_KEY", "FIRST_ADMIN_PASSWORD_FILE", "TOKEN_ISSUER", "TOKEN_AUDIENCE",
	} {
		environ = append(environ, "MUSTER_IDENTITY_"+required+"=given")
	}
	if err := config.Load("identity", &settings, "", environ); err != nil {
		t.Fatal(err)
	}
	hashes := settings.Passwords.Params()
	if hashes != password.DefaultParams {
		t.Errorf("hashes cost %+v by default, want %+v", hashes, password.DefaultParams)
	}
	if settings.DatabaseURL.Reveal() != "given" || settings.AdminUsername != "admin" || settings.AdminEmail != "admin@muster.internal" || !settings.BrokerURL.Empty() {
		t.Errorf("got %+v", settings)
	}
}

func TestFaultsOfTheSettingsAreAllNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	bad := h.config
	bad.KeyEncryptionKey = secret.New("canary")
	bad.AdminEmail = "admin"
	bad.AdminUsername = "a b"
	bad.Passwords.Time = 0
	_, err := identity.New(t.Context(), bad, slog.New(slog.DiscardHandler))
	for _, setting := range []string{"KEY_ENCRYPTION_KEY", "ADMIN_EMAIL", "ADMIN_USERNAME", "PASSWORD_"} {
		if err == nil || !strings.Contains(err.Error(), "MUSTER_IDENTITY_"+setting) {
			t.Errorf("%s is not named in: %v", setting, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("the error holds a secret: %v", err)
	}
}

func TestWrongKeyEncryptionKeyStopsTheStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	other := h.config
	other.KeyEncryptionKey = secret.New(strings.Repeat("f0", 32))
	_, err := identity.New(t.Context(), other, slog.New(slog.DiscardHandler))
	if !errors.Is(err, keyring.ErrWrongKeyEncryptionKey) {
		t.Errorf("got %v", err)
	}
}

func TestBrokerURLThatIsNoneStopsTheStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.BrokerURL = secret.New("not a url of a broker: canary")
	service, err := identity.New(t.Context(), h.config, slog.New(slog.DiscardHandler))
	if err == nil {
		err = service.Run(t.Context())
	}
	if !errors.Is(err, broker.ErrInvalidURL) || !strings.Contains(err.Error(), "MUSTER_IDENTITY_BROKER_URL") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
