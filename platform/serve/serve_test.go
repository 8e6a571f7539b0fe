package serve_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs is where servers write and tests look.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// people signs tokens and verifies them.
type people struct {
	signer   *token.Signer
	verifier *token.Verifier
}

func newPeople(t *testing.T) people {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.JWKS(token.PublicKey{ID: "k1", Key: public})
	if err != nil {
		t.Fatal(err)
	}
	source := token.NewRemoteKeys(func(context.Context) ([]byte, error) { return set, nil }, nil)
	return people{
		signer:   token.NewSigner(token.SignerConfig{Issuer: "https://muster.example", Audience: "muster", KeyID: "k1", Key: private}),
		verifier: token.NewVerifier(token.VerifierConfig{Issuer: "https://muster.example", Audience: "muster", Keys: source}),
	}
}

func (p people) token(t *testing.T, subject string) secret.String {
	t.Helper()
	now := time.Now()
	signed, err := p.signer.Sign(token.Claims{
		Subject: subject, SessionID: "s1", ID: "j1", AccessVersion: 1, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// start runs a server until the test ends, and gives its address.
func start(t *testing.T, config serve.ServerConfig) (addr string) {
	t.Helper()
	config.Address = "127.0.0.1:0"
	server, err := serve.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return server.Addr()
}

// plain is a client that speaks HTTP/1.1, or h2c.
func plain(t *testing.T, h2c bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func internal(t *testing.T, dir, as, service, addr string) *http.Client {
	t.Helper()
	client := serve.InternalClient(load(t, dir, as), service, "https://"+addr)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func load(t *testing.T, dir, service string) certificate.Identity {
	t.Helper()
	identity, err := certificate.Load(dir, service)
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func certificates(t *testing.T, services ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := certificate.MakeAuthority(dir, services...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// profiles is identity, as far as these tests need it.
type profiles struct {
	identityv1connect.UnimplementedIdentityServiceHandler
	get func(context.Context) (*identityv1.Profile, error)
}

func (p profiles) GetProfile(ctx context.Context, _ *connect.Request[identityv1.GetProfileRequest]) (*connect.Response[identityv1.GetProfileResponse], error) {
	profile, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&identityv1.GetProfileResponse{Profile: profile}), nil
}

// me is the gateway's UserService in front of it.
type me struct {
	musterv1connect.UnimplementedUserServiceHandler
	identity identityv1connect.IdentityServiceClient
}

func (m me) GetMe(ctx context.Context, _ *connect.Request[musterv1.GetMeRequest]) (*connect.Response[musterv1.GetMeResponse], error) {
	answer, err := m.identity.GetProfile(ctx, connect.NewRequest(&identityv1.GetProfileRequest{}))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.GetMeResponse{User: &musterv1.User{Id: answer.Msg.GetProfile().GetUserId()}}), nil
}

// house is a gateway in clear before an identity behind mTLS.
type house struct {
	people
	gateway string
	logs    *logs
}

func newHouse(t *testing.T, get func(context.Context) (*identityv1.Profile, error)) house {
	t.Helper()
	h := house{people: newPeople(t), logs: &logs{}}
	dir := certificates(t, "gateway", "identity")
	logger := telemetry.NewLogger(h.logs, slog.LevelDebug, telemetry.JSON)
	options := serve.Interceptors(serve.Config{Logger: logger, Verifier: h.verifier})

	inside := http.NewServeMux()
	inside.Handle(identityv1connect.NewIdentityServiceHandler(profiles{get: get}, options))
	identity := start(t, serve.ServerConfig{Name: "identity", Handler: inside, TLS: load(t, dir, "identity").ServerTLS(), Logger: logger})

	outside := http.NewServeMux()
	outside.Handle(musterv1connect.NewUserServiceHandler(me{
		identity: identityv1connect.NewIdentityServiceClient(internal(t, dir, "gateway", "identity", identity), "https://"+identity, serve.ClientInterceptors()),
	}, options))
	h.gateway = "http://" + start(t, serve.ServerConfig{Name: "gateway", Handler: outside, Logger: logger})
	return h
}

func (h house) getMe(t *testing.T, presented secret.String, options ...connect.ClientOption) (*connect.Response[musterv1.GetMeResponse], error) {
	t.Helper()
	client := musterv1connect.NewUserServiceClient(plain(t, true), h.gateway, options...)
	request := connect.NewRequest(&musterv1.GetMeRequest{})
	request.Header().Set("X-Request-Id", "request-1")
	request.Header().Set("User-Agent", "browser/1")
	if !presented.Empty() {
		request.Header().Set("Authorization", "Bearer "+presented.Reveal())
	}
	return client.GetMe(t.Context(), request)
}

func TestACallCarriesItsPersonAndItsIDThroughTheHouse(t *testing.T) {
	t.Parallel()
	var seen context.Context
	h := newHouse(t, func(ctx context.Context) (*identityv1.Profile, error) {
		seen = ctx
		person, _ := access.PrincipalFrom(ctx)
		return &identityv1.Profile{UserId: person.UserID}, nil
	})
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "JSON": connect.WithProtoJSON(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(),
	} {
		answer, err := h.getMe(t, h.token(t, "u1"), option)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if user := answer.Msg.GetUser(); user.GetId() != "u1" {
			t.Errorf("%s: identity saw the person %q", name, user.GetId())
		}
		if caller := access.CallerFrom(seen); caller != "gateway" {
			t.Errorf("identity saw the caller %q", caller)
		}
		if want := (telemetry.Request{ID: answer.Header().Get("X-Request-Id"), ClientAddress: "127.0.0.1", UserAgent: "browser/1"}); telemetry.RequestFrom(seen) != want {
			t.Errorf("identity saw %+v", telemetry.RequestFrom(seen))
		}
		if _, given := seen.Deadline(); !given {
			t.Error("the call has no time-out")
		}
		trace := strings.Split(telemetry.TraceParent(seen), "-")[1]
		if n := strings.Count(h.logs.String(), trace); n != 2 {
			t.Errorf("%d services logged trace %s, want 2", n, trace)
		}
	}
	if strings.Contains(h.logs.String(), "Bearer") || strings.Contains(h.logs.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

func TestAReasonCrossesTheHouseUnderTheCallsID(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(context.Context) (*identityv1.Profile, error) {
		return nil, reason.New(musterv1.Reason_REASON_OVERLOADED, reason.RetryAfter(1200*time.Millisecond), reason.Cause(errors.New("canary")))
	})
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC()} {
		_, err := h.getMe(t, h.token(t, "u1"), option)
		detail, _ := reason.DetailOf(err)
		if reason.Of(err) != musterv1.Reason_REASON_OVERLOADED || detail.GetRetryAfterMs() != 1200 {
			t.Errorf("%s: got %v with %v", name, err, detail)
		}
		var sent *connect.Error
		if !errors.As(err, &sent) || sent.Meta().Get("Retry-After") != "2" ||
			!slices.Equal(sent.Meta().Values("X-Request-Id"), []string{detail.GetRequestId()}) {
			t.Errorf("%s: headers %v", name, sent.Meta())
		}
	}
}

func TestAFaultInsideIsToldByItsIDAloneAndLoggedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(context.Context) (*identityv1.Profile, error) { return nil, errors.New("canary") })
	_, err := h.getMe(t, h.token(t, "u1"))
	if reason.Of(err) != musterv1.Reason_REASON_INTERNAL || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(h.logs.String(), "canary"); n != 1 {
		t.Errorf("the cause is logged %d times", n)
	}
	detail, _ := reason.DetailOf(err)
	for line := range strings.Lines(h.logs.String()) {
		if strings.Contains(line, "canary") && !(strings.Contains(line, `"request_id":"`+detail.GetRequestId()+`"`) && strings.Contains(line, `"service":"identity"`) &&
			strings.Contains(line, `"user_id":"u1"`) && strings.Contains(line, `"level":"ERROR"`)) {
			t.Errorf("the cause's line: %s", line)
		}
	}
}

func TestAPanicIsAFaultLikeAnyOther(t *testing.T) {
	t.Parallel()
	calls := 0
	h := newHouse(t, func(context.Context) (*identityv1.Profile, error) {
		if calls++; calls == 1 {
			panic("canary")
		}
		return &identityv1.Profile{UserId: "u1"}, nil
	})
	_, err := h.getMe(t, h.token(t, "u1"))
	if reason.Of(err) != musterv1.Reason_REASON_INTERNAL || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(h.logs.String(), "panic: canary") {
		t.Error("the panic is not logged")
	}
	if _, err := h.getMe(t, h.token(t, "u1")); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestAServiceThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	dir := certificates(t, "gateway", "identity")
	client := identityv1connect.NewIdentityServiceClient(internal(t, dir, "gateway", "identity", "127.0.0.1:1"), "https://127.0.0.1:1", serve.ClientInterceptors())
	_, err := client.GetProfile(t.Context(), connect.NewRequest(&identityv1.GetProfileRequest{}))
	if sent := reason.Final(t.Context(), slog.New(slog.DiscardHandler), err); reason.Of(sent) != musterv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("got %v from %v", sent, err)
	}
}

// To pack a page of events would cost more than all else that is done with it.
func TestServicesAskForAnswersAsTheyAre(t *testing.T) {
	t.Parallel()
	dir := certificates(t, "identity", "credentials")
	asked := make(chan string, 1)
	mux := http.NewServeMux()
	_, handler := keyringv1connect.NewKeyringServiceHandler(keys{})
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		asked <- request.Header.Get("Grpc-Accept-Encoding") + request.Header.Get("Accept-Encoding")
		handler.ServeHTTP(w, request)
	})
	addr := start(t, serve.ServerConfig{Name: "identity", Handler: mux, TLS: load(t, dir, "identity").ServerTLS(), Logger: slog.New(slog.DiscardHandler)})
	client := keyringv1connect.NewKeyringServiceClient(internal(t, dir, "credentials", "identity", addr), "https://"+addr, serve.ClientInterceptors())
	if _, err := client.GetKeys(t.Context(), connect.NewRequest(&keyringv1.GetKeysRequest{})); err != nil {
		t.Fatal(err)
	}
	if accepts := <-asked; strings.Contains(accepts, "gzip") {
		t.Errorf("it accepts %q", accepts)
	}
}

// keys is a keyring that answers anybody who gets to it.
type keys struct {
	keyringv1connect.UnimplementedKeyringServiceHandler
}

func (keys) GetKeys(context.Context, *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	return connect.NewResponse(&keyringv1.GetKeysResponse{}), nil
}

func TestServicesAloneAndOnlyThoseOnTheListReachAnInternalMethod(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	dir, strangers := certificates(t, "identity", "credentials", "gateway"), certificates(t, "credentials")
	mux := http.NewServeMux()
	mux.Handle(keyringv1connect.NewKeyringServiceHandler(keys{}, serve.Interceptors(serve.Config{Logger: logger})))
	ready := false
	serve.Diagnostics(mux, func() bool { return ready }, keyringv1.File_muster_keyring_v1_keyring_proto.Services().ByName("KeyringService"))
	addr := start(t, serve.ServerConfig{Name: "identity", Handler: mux, TLS: load(t, dir, "identity").ServerTLS(), Logger: logger})

	call := func(client *http.Client, ids ...string) error {
		_, err := keyringv1connect.NewKeyringServiceClient(client, "https://"+addr, serve.ClientInterceptors()).
			GetKeys(t.Context(), connect.NewRequest(&keyringv1.GetKeysRequest{KeyIds: ids}))
		return err
	}
	const id = "0192f0a1-0000-7000-8000-000000000000"
	if err := call(internal(t, dir, "credentials", "identity", addr), id); err != nil {
		t.Errorf("credentials: %v", err)
	}
	if err := call(internal(t, dir, "gateway", "identity", addr), id); reason.Of(err) != musterv1.Reason_REASON_PERMISSION_DENIED {
		t.Errorf("gateway: %v", err)
	}
	if err := call(internal(t, dir, "gateway", "identity", addr), "not an id"); reason.Of(err) != musterv1.Reason_REASON_PERMISSION_DENIED {
		t.Errorf("gateway: who may call is decided before the request is looked at, got %v", err)
	}
	if err := call(internal(t, dir, "credentials", "identity", addr)); reason.Of(err) != musterv1.Reason_REASON_INVALID_ARGUMENT {
		t.Errorf("a request that breaks a rule: %v", err)
	}
	if err := call(internal(t, strangers, "credentials", "identity", addr), id); err == nil {
		t.Error("a service of another house was let in")
	}
	if err := call(internal(t, dir, "credentials", "gateway", addr), id); err == nil {
		t.Error("identity was taken for gateway")
	}
	bare := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}, ForceAttemptHTTP2: true}
	t.Cleanup(bare.CloseIdleConnections)
	if err := call(&http.Client{Transport: bare}, id); err == nil {
		t.Error("a client without a certificate was let in")
	}

	health := grpchealth.NewClient(internal(t, dir, "gateway", "identity", addr), "https://"+addr, connect.WithGRPC())
	for _, want := range []grpchealth.Status{grpchealth.StatusNotServing, grpchealth.StatusServing} {
		answer, err := health.Check(t.Context(), &grpchealth.CheckRequest{Service: keyringv1connect.KeyringServiceName})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != want {
			t.Errorf("health is %v, want %v", answer.Status, want)
		}
		ready = true
	}
}

func TestAnInternalClientSendsTokensToNobodyElse(t *testing.T) {
	t.Parallel()
	dir := certificates(t, "gateway", "identity")
	client := internal(t, dir, "gateway", "identity", "127.0.0.1:1")
	for _, address := range []string{"https://127.0.0.1:2/", "http://127.0.0.1:1/"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "is not for") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
