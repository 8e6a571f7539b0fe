package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://id.example.com"
	audience = "muster"
	allowed  = "https://app.example.com"
)

var (
	ada      = uuid.MustParse("0192d1a0-0000-7000-8000-000000000001").String()
	position = &eventlogv1.Position{Log: "identity", Epoch: 1, Stream: "user-" + ada, Version: 2}
)

// world is a gateway on loopback, in front of stand-ins for identity and
// credentials on real mTLS connections.
type world struct {
	t           *testing.T
	identity    *identityFake
	credentials *credentialsFake
	gateway     *Service
	base        string
	client      *http.Client
	key         ed25519.PrivateKey
	logs        *syncBuffer

	stopIdentity, stopCredentials, stopGateway context.CancelFunc
}

// newWorld starts one; change may alter the configuration first.
func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: key, logs: &syncBuffer{}}
	jwks, err := token.JWKS(token.PublicKey{ID: "key-1", Key: key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	w.identity = &identityFake{
		register: func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
			return &identityv1.RegisterUserResponse{UserId: ada, Position: position}, nil
		},
		changePassword: func(context.Context, *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error) {
			return &identityv1.ChangePasswordResponse{Position: position}, nil
		},
		getProfile: func(context.Context, *identityv1.GetProfileRequest) (*identityv1.GetProfileResponse, error) {
			return &identityv1.GetProfileResponse{Profile: &identityv1.Profile{UserId: ada, Username: "ada", Active: true}}, nil
		},
		updateProfile: func(_ context.Context, r *identityv1.UpdateProfileRequest) (*identityv1.UpdateProfileResponse, error) {
			return &identityv1.UpdateProfileResponse{Profile: &identityv1.Profile{UserId: ada, FirstName: r.GetFirstName()}, Position: position}, nil
		},
	}
	w.credentials = &credentialsFake{
		login: func(context.Context, *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
			return &credentialsv1.LoginResponse{Tokens: someTokens("refresh-1"), UserId: ada}, nil
		},
		refresh: func(context.Context, *credentialsv1.RefreshRequest) (*credentialsv1.RefreshResponse, error) {
			return &credentialsv1.RefreshResponse{Tokens: someTokens("refresh-2")}, nil
		},
		logout: func(context.Context, *credentialsv1.LogoutRequest) (*credentialsv1.LogoutResponse, error) {
			return &credentialsv1.LogoutResponse{}, nil
		},
		endSessions: func(context.Context, *credentialsv1.EndSessionsRequest) (*credentialsv1.EndSessionsResponse, error) {
			return &credentialsv1.EndSessionsResponse{Ended: 1}, nil
		},
		await: func(context.Context, *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error) {
			return &credentialsv1.AwaitAccessResponse{Applied: true}, nil
		},
		keys: func(context.Context, *credentialsv1.GetSigningKeysRequest) (*credentialsv1.GetSigningKeysResponse, error) {
			return &credentialsv1.GetSigningKeysResponse{Jwks: jwks}, nil
		},
	}

	folder := t.TempDir()
	if err := certificate.MakeAuthority(folder, "identity", "credentials", "gateway"); err != nil {
		t.Fatal(err)
	}
	config := Config{
		Listen:          "127.0.0.1:0",
		AllowedOrigins:  []string{allowed},
		Certificates:    folder,
		UpstreamTimeout: 5 * time.Second,
		ConsistencyKey:  secret.New(strings.Repeat("k", 32)),
		TokenIssuer:     issuer,
		TokenAudience:   audience,
	}
	config.IdentityURL, w.stopIdentity = w.upstream(folder, "identity", func(mux *http.ServeMux, options connect.HandlerOption) {
		mux.Handle(identityv1connect.NewIdentityServiceHandler(w.identity, options))
	})
	config.CredentialsURL, w.stopCredentials = w.upstream(folder, "credentials", func(mux *http.ServeMux, options connect.HandlerOption) {
		mux.Handle(credentialsv1connect.NewCredentialsServiceHandler(w.credentials, options))
	})
	if change != nil {
		change(&config)
	}

	w.gateway, err = New(t.Context(), config, telemetry.NewLogger(w.logs, slog.LevelDebug, telemetry.JSON))
	if err != nil {
		t.Fatal(err)
	}
	w.stopGateway = run(t, w.gateway.Run)
	w.base = "http://" + w.gateway.Addr()
	transport := &http.Transport{}
	if config.TLSCertificate != "" {
		w.base = "https://" + w.gateway.Addr()
		ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

// upstream serves one stand-in the way the real service is served.
func (w *world) upstream(folder, name string, mount func(*http.ServeMux, connect.HandlerOption)) (string, context.CancelFunc) {
	w.t.Helper()
	self, err := certificate.Load(folder, name)
	if err != nil {
		w.t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mount(mux, serve.Interceptors(serve.Config{Logger: logger, Verifier: token.NewVerifier(token.VerifierConfig{
		Issuer: issuer, Audience: audience, Keys: keyOf{w.key},
	})}))
	serve.Diagnostics(mux, func() bool { return true })
	server, err := serve.New(serve.ServerConfig{Name: name, Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: logger})
	if err != nil {
		w.t.Fatal(err)
	}
	stop := run(w.t, server.Run)
	return "https://" + server.Addr(), stop
}

// run runs a server until the test ends or stop is called, and waits for its end.
func run(t *testing.T, serve func(context.Context) error) (stop context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

type keyOf struct{ key ed25519.PrivateKey }

func (k keyOf) Keys(context.Context, string) (token.PublicKey, error) {
	return token.PublicKey{ID: "key-1", Key: k.key.Public().(ed25519.PublicKey)}, nil
}

func someTokens(refresh string) *credentialsv1.Tokens {
	return &credentialsv1.Tokens{
		AccessToken:           "access",
		AccessTokenExpiresAt:  timestamppb.New(time.Now().Add(15 * time.Minute)),
		RefreshToken:          refresh,
		RefreshTokenExpiresAt: timestamppb.New(time.Now().Add(24 * time.Hour)),
	}
}

// bearer is a good access token, unless change makes it another one.
func (w *world) bearer(change func(*token.SignerConfig, *token.Claims)) string {
	w.t.Helper()
	config := token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "key-1", Key: w.key}
	claims := token.Claims{
		Subject:       ada,
		SessionID:     uuid.NewString(),
		ID:            uuid.NewString(),
		AccessVersion: 1,
		IssuedAt:      time.Now(),
		ExpiresAt:     time.Now().Add(15 * time.Minute),
	}
	if change != nil {
		change(&config, &claims)
	}
	signed, err := token.NewSigner(config).Sign(claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return "Bearer " + signed.Reveal()
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// post calls a method as curl would. headers are name, value, name, value…
func (w *world) post(procedure, body string, headers ...string) answer {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.base+procedure, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	return w.do(request, headers...)
}

func (w *world) get(path string, headers ...string) answer {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(request, headers...)
}

func (w *world) do(request *http.Request, headers ...string) answer {
	w.t.Helper()
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &got.body) // some answers are no JSON
	return got
}

// detail is the ErrorDetail of an answer in Connect's JSON.
func (a answer) detail(t *testing.T) *musterv1.ErrorDetail {
	t.Helper()
	details, _ := a.body["details"].([]any)
	for _, d := range details {
		if d, ok := d.(map[string]any); ok && d["type"] == "muster.v1.ErrorDetail" {
			debug, err := json.Marshal(d["debug"])
			if err != nil {
				t.Fatal(err)
			}
			var detail struct{ Reason, Field, RequestID, Next string }
			if err := json.Unmarshal(debug, &detail); err != nil {
				t.Fatal(err)
			}
			return &musterv1.ErrorDetail{Reason: detail.Reason, Field: detail.Field, RequestId: detail.RequestID, Next: detail.Next}
		}
	}
	t.Fatalf("no detail in %d %s", a.status, a.text)
	return nil
}

// refused checks the shape of every refusal: status, reason, field, and the
// request id both in the detail and in the header.
func (a answer) refused(t *testing.T, status int, r musterv1.Reason, field string) {
	t.Helper()
	detail := a.detail(t)
	if a.status != status || detail.GetReason() != name(r) || detail.GetField() != field {
		t.Errorf("got %d %s of field %q, want %d %s of %q: %s", a.status, detail.GetReason(), detail.GetField(), status, name(r), field, a.text)
	}
	if id := a.header.Get("X-Request-Id"); id == "" || id != detail.GetRequestId() {
		t.Errorf("request id %q in the header, %q in the detail", id, detail.GetRequestId())
	}
	if detail.GetNext() == "" {
		t.Errorf("%s does not say what to do next", detail.GetReason())
	}
}

// ok checks a success.
func (a answer) ok(t *testing.T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.text)
	}
}

func name(r musterv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

// cookie is the refresh cookie that an answer sets; nil if none.
func (a answer) cookie() *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if strings.HasSuffix(c.Name, "muster_refresh") {
			return c
		}
	}
	return nil
}

// identityFake stands in for identity.
type identityFake struct {
	register       func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error)
	changePassword func(context.Context, *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error)
	getProfile     func(context.Context, *identityv1.GetProfileRequest) (*identityv1.GetProfileResponse, error)
	updateProfile  func(context.Context, *identityv1.UpdateProfileRequest) (*identityv1.UpdateProfileResponse, error)
}

var _ identityv1connect.IdentityServiceHandler = (*identityFake)(nil)

func (f *identityFake) RegisterUser(ctx context.Context, r *connect.Request[identityv1.RegisterUserRequest]) (*connect.Response[identityv1.RegisterUserResponse], error) {
	return reply(f.register(ctx, r.Msg))
}

func (f *identityFake) ChangePassword(ctx context.Context, r *connect.Request[identityv1.ChangePasswordRequest]) (*connect.Response[identityv1.ChangePasswordResponse], error) {
	return reply(f.changePassword(ctx, r.Msg))
}

func (f *identityFake) GetProfile(ctx context.Context, r *connect.Request[identityv1.GetProfileRequest]) (*connect.Response[identityv1.GetProfileResponse], error) {
	return reply(f.getProfile(ctx, r.Msg))
}

func (f *identityFake) UpdateProfile(ctx context.Context, r *connect.Request[identityv1.UpdateProfileRequest]) (*connect.Response[identityv1.UpdateProfileResponse], error) {
	return reply(f.updateProfile(ctx, r.Msg))
}

// credentialsFake stands in for credentials.
type credentialsFake struct {
	login       func(context.Context, *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error)
	refresh     func(context.Context, *credentialsv1.RefreshRequest) (*credentialsv1.RefreshResponse, error)
	logout      func(context.Context, *credentialsv1.LogoutRequest) (*credentialsv1.LogoutResponse, error)
	endSessions func(context.Context, *credentialsv1.EndSessionsRequest) (*credentialsv1.EndSessionsResponse, error)
	await       func(context.Context, *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error)
	keys        func(context.Context, *credentialsv1.GetSigningKeysRequest) (*credentialsv1.GetSigningKeysResponse, error)
}

var _ credentialsv1connect.CredentialsServiceHandler = (*credentialsFake)(nil)

func (f *credentialsFake) Login(ctx context.Context, r *connect.Request[credentialsv1.LoginRequest]) (*connect.Response[credentialsv1.LoginResponse], error) {
	return reply(f.login(ctx, r.Msg))
}

func (f *credentialsFake) Refresh(ctx context.Context, r *connect.Request[credentialsv1.RefreshRequest]) (*connect.Response[credentialsv1.RefreshResponse], error) {
	return reply(f.refresh(ctx, r.Msg))
}

func (f *credentialsFake) Logout(ctx context.Context, r *connect.Request[credentialsv1.LogoutRequest]) (*connect.Response[credentialsv1.LogoutResponse], error) {
	return reply(f.logout(ctx, r.Msg))
}

func (f *credentialsFake) EndSessions(ctx context.Context, r *connect.Request[credentialsv1.EndSessionsRequest]) (*connect.Response[credentialsv1.EndSessionsResponse], error) {
	return reply(f.endSessions(ctx, r.Msg))
}

func (f *credentialsFake) AwaitAccess(ctx context.Context, r *connect.Request[credentialsv1.AwaitAccessRequest]) (*connect.Response[credentialsv1.AwaitAccessResponse], error) {
	return reply(f.await(ctx, r.Msg))
}

func (f *credentialsFake) GetSigningKeys(ctx context.Context, r *connect.Request[credentialsv1.GetSigningKeysRequest]) (*connect.Response[credentialsv1.GetSigningKeysResponse], error) {
	return reply(f.keys(ctx, r.Msg))
}

func reply[T any](message *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(message), nil
}

// caller is who an upstream call was made for.
func caller(ctx context.Context) string {
	principal, _ := access.PrincipalFrom(ctx)
	return principal.UserID
}

// syncBuffer takes log lines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
