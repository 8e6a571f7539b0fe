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
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://id.example.com"
	audience = "muster"
	allowed  = "https://app.example.com"
)

var (
	ada            = uuid.MustParse("0192d1a0-0000-7000-8000-000000000001").String()
	eve            = uuid.MustParse("0192d1a0-0000-7000-8000-000000000002").String()
	avatar         = uuid.MustParse("0192d1a0-0000-7000-8000-00000000000a").String()
	file           = uuid.MustParse("0192d1a0-0000-7000-8000-00000000000f").String()
	position       = &eventlogv1.Position{Log: "identity", Epoch: 1, Stream: "user-" + ada, Version: 2}
	avatarPosition = &eventlogv1.Position{Log: "media", Epoch: 1, Stream: "avatar-" + ada, Version: 1}
)

// world is a gateway on loopback, in front of stand-ins for identity,
// credentials and media on real mTLS connections.
type world struct {
	t           *testing.T
	identity    *identityFake
	credentials *credentialsFake
	media       *mediaFake
	// status is how each service says it is.
	status map[string]*statusFake
	// projections are those of each service.
	projections map[string]*projectionsFake
	// views are those of the services that keep a log.
	views   map[string]*viewFake
	gateway *Service
	base    string
	client  *http.Client
	key     ed25519.PrivateKey
	logs    *syncBuffer

	stopIdentity, stopCredentials, stopMedia, stopGateway context.CancelFunc
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
	w.media = newMediaFake()
	w.status = map[string]*statusFake{"identity": newStatusFake(), "credentials": newStatusFake(), "media": newStatusFake()}
	w.projections = map[string]*projectionsFake{
		"identity": newProjectionsFake("users", "avatars"), "credentials": newProjectionsFake("access"), "media": newProjectionsFake("files"),
	}
	w.views = map[string]*viewFake{"identity": newViewFake("identity"), "media": newViewFake("media")}
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
		createUser:   answers[identityv1.CreateUserRequest](&identityv1.CreateUserResponse{Profile: &identityv1.Profile{UserId: eve}, Position: position}),
		getUser:      answers[identityv1.GetUserRequest](&identityv1.GetUserResponse{Profile: &identityv1.Profile{UserId: eve}}),
		listUsers:    answers[identityv1.ListUsersRequest](&identityv1.ListUsersResponse{Profiles: []*identityv1.Profile{{UserId: eve}}}),
		updateUser:   answers[identityv1.UpdateUserRequest](&identityv1.UpdateUserResponse{Profile: &identityv1.Profile{UserId: eve}, Position: position}),
		setUserRoles: answers[identityv1.SetUserRolesRequest](&identityv1.SetUserRolesResponse{Profile: &identityv1.Profile{UserId: eve}, Position: position}),
		deleteUser:   answers[identityv1.DeleteUserRequest](&identityv1.DeleteUserResponse{ErasedAt: timestamppb.Now(), Position: position}),
		await:        answers[identityv1.AwaitRequest](&identityv1.AwaitResponse{Applied: true}),
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
	if err := certificate.MakeAuthority(folder, "identity", "credentials", "media", "gateway"); err != nil {
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
	config.MediaURL, w.stopMedia = w.upstream(folder, "media", func(mux *http.ServeMux, options connect.HandlerOption) {
		mux.Handle(mediav1connect.NewMediaServiceHandler(w.media, options))
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
	options := serve.Interceptors(serve.Config{
		Logger:          logger,
		Verifier:        token.NewVerifier(token.VerifierConfig{Issuer: issuer, Audience: audience, Keys: keyOf{w.key}}),
		MaxRequestBytes: 6 << 20, // media takes pictures
	})
	mount(mux, options)
	mux.Handle(statusv1connect.NewStatusServiceHandler(w.status[name], options))
	mux.Handle(projectionv1connect.NewProjectionServiceHandler(w.projections[name], options))
	if view, keepsLog := w.views[name]; keepsLog {
		mux.Handle(eventlogv1connect.NewEventViewServiceHandler(view, options))
	}
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

// bearerOf is the access token of somebody with these roles.
func (w *world) bearerOf(roles ...string) string {
	w.t.Helper()
	return w.bearer(func(_ *token.SignerConfig, c *token.Claims) { c.Roles = roles })
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

// answers makes a method that answers the same to all.
func answers[Req, Res any](answer *Res) func(context.Context, *Req) (*Res, error) {
	return func(context.Context, *Req) (*Res, error) { return answer, nil }
}

// fails makes a method that fails for all.
func fails[Req, Res any](err error) func(context.Context, *Req) (*Res, error) {
	return func(context.Context, *Req) (*Res, error) { return nil, err }
}

// identityFake stands in for identity.
type identityFake struct {
	register       func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error)
	changePassword func(context.Context, *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error)
	getProfile     func(context.Context, *identityv1.GetProfileRequest) (*identityv1.GetProfileResponse, error)
	updateProfile  func(context.Context, *identityv1.UpdateProfileRequest) (*identityv1.UpdateProfileResponse, error)
	createUser     func(context.Context, *identityv1.CreateUserRequest) (*identityv1.CreateUserResponse, error)
	getUser        func(context.Context, *identityv1.GetUserRequest) (*identityv1.GetUserResponse, error)
	listUsers      func(context.Context, *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error)
	updateUser     func(context.Context, *identityv1.UpdateUserRequest) (*identityv1.UpdateUserResponse, error)
	setUserRoles   func(context.Context, *identityv1.SetUserRolesRequest) (*identityv1.SetUserRolesResponse, error)
	deleteUser     func(context.Context, *identityv1.DeleteUserRequest) (*identityv1.DeleteUserResponse, error)
	await          func(context.Context, *identityv1.AwaitRequest) (*identityv1.AwaitResponse, error)
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

func (f *identityFake) CreateUser(ctx context.Context, r *connect.Request[identityv1.CreateUserRequest]) (*connect.Response[identityv1.CreateUserResponse], error) {
	return reply(f.createUser(ctx, r.Msg))
}

func (f *identityFake) GetUser(ctx context.Context, r *connect.Request[identityv1.GetUserRequest]) (*connect.Response[identityv1.GetUserResponse], error) {
	return reply(f.getUser(ctx, r.Msg))
}

func (f *identityFake) ListUsers(ctx context.Context, r *connect.Request[identityv1.ListUsersRequest]) (*connect.Response[identityv1.ListUsersResponse], error) {
	return reply(f.listUsers(ctx, r.Msg))
}

func (f *identityFake) UpdateUser(ctx context.Context, r *connect.Request[identityv1.UpdateUserRequest]) (*connect.Response[identityv1.UpdateUserResponse], error) {
	return reply(f.updateUser(ctx, r.Msg))
}

func (f *identityFake) SetUserRoles(ctx context.Context, r *connect.Request[identityv1.SetUserRolesRequest]) (*connect.Response[identityv1.SetUserRolesResponse], error) {
	return reply(f.setUserRoles(ctx, r.Msg))
}

func (f *identityFake) DeleteUser(ctx context.Context, r *connect.Request[identityv1.DeleteUserRequest]) (*connect.Response[identityv1.DeleteUserResponse], error) {
	return reply(f.deleteUser(ctx, r.Msg))
}

func (f *identityFake) Await(ctx context.Context, r *connect.Request[identityv1.AwaitRequest]) (*connect.Response[identityv1.AwaitResponse], error) {
	return reply(f.await(ctx, r.Msg))
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

// mediaFake stands in for media.
type mediaFake struct {
	setAvatar        func(context.Context, *mediav1.SetAvatarRequest) (*mediav1.SetAvatarResponse, error)
	removeAvatar     func(context.Context, *mediav1.RemoveAvatarRequest) (*mediav1.RemoveAvatarResponse, error)
	getAvatar        func(context.Context, *mediav1.GetAvatarRequest) (*mediav1.GetAvatarResponse, error)
	createUpload     func(context.Context, *mediav1.CreateUploadRequest) (*mediav1.CreateUploadResponse, error)
	completeUpload   func(context.Context, *mediav1.CompleteUploadRequest) (*mediav1.CompleteUploadResponse, error)
	getFile          func(context.Context, *mediav1.GetFileRequest) (*mediav1.GetFileResponse, error)
	getFileUrl       func(context.Context, *mediav1.GetFileUrlRequest) (*mediav1.GetFileUrlResponse, error)
	getPublicFileUrl func(context.Context, *mediav1.GetPublicFileUrlRequest) (*mediav1.GetPublicFileUrlResponse, error)
	listFiles        func(context.Context, *mediav1.ListFilesRequest) (*mediav1.ListFilesResponse, error)
	shareFile        func(context.Context, *mediav1.ShareFileRequest) (*mediav1.ShareFileResponse, error)
	unshareFile      func(context.Context, *mediav1.UnshareFileRequest) (*mediav1.UnshareFileResponse, error)
	deleteFile       func(context.Context, *mediav1.DeleteFileRequest) (*mediav1.DeleteFileResponse, error)
}

var _ mediav1connect.MediaServiceHandler = (*mediaFake)(nil)

func newMediaFake() *mediaFake {
	return &mediaFake{
		setAvatar:        answers[mediav1.SetAvatarRequest](&mediav1.SetAvatarResponse{AvatarId: avatar, Position: avatarPosition}),
		removeAvatar:     answers[mediav1.RemoveAvatarRequest](&mediav1.RemoveAvatarResponse{Position: avatarPosition}),
		getAvatar:        answers[mediav1.GetAvatarRequest](&mediav1.GetAvatarResponse{Picture: []byte("a JPEG")}),
		createUpload:     answers[mediav1.CreateUploadRequest](&mediav1.CreateUploadResponse{FileId: file}),
		completeUpload:   answers[mediav1.CompleteUploadRequest](&mediav1.CompleteUploadResponse{File: &mediav1.File{FileId: file}}),
		getFile:          answers[mediav1.GetFileRequest](&mediav1.GetFileResponse{File: &mediav1.File{FileId: file}}),
		getFileUrl:       answers[mediav1.GetFileUrlRequest](&mediav1.GetFileUrlResponse{Url: "http://storage.example.com/signed"}),
		getPublicFileUrl: answers[mediav1.GetPublicFileUrlRequest](&mediav1.GetPublicFileUrlResponse{Url: "http://storage.example.com/signed"}),
		listFiles:        answers[mediav1.ListFilesRequest](&mediav1.ListFilesResponse{Files: []*mediav1.File{{FileId: file}}}),
		shareFile:        answers[mediav1.ShareFileRequest](&mediav1.ShareFileResponse{File: &mediav1.File{FileId: file}}),
		unshareFile:      answers[mediav1.UnshareFileRequest](&mediav1.UnshareFileResponse{File: &mediav1.File{FileId: file}}),
		deleteFile:       answers[mediav1.DeleteFileRequest](&mediav1.DeleteFileResponse{}),
	}
}

func (f *mediaFake) SetAvatar(ctx context.Context, r *connect.Request[mediav1.SetAvatarRequest]) (*connect.Response[mediav1.SetAvatarResponse], error) {
	return reply(f.setAvatar(ctx, r.Msg))
}

func (f *mediaFake) RemoveAvatar(ctx context.Context, r *connect.Request[mediav1.RemoveAvatarRequest]) (*connect.Response[mediav1.RemoveAvatarResponse], error) {
	return reply(f.removeAvatar(ctx, r.Msg))
}

func (f *mediaFake) GetAvatar(ctx context.Context, r *connect.Request[mediav1.GetAvatarRequest]) (*connect.Response[mediav1.GetAvatarResponse], error) {
	return reply(f.getAvatar(ctx, r.Msg))
}

func (f *mediaFake) CreateUpload(ctx context.Context, r *connect.Request[mediav1.CreateUploadRequest]) (*connect.Response[mediav1.CreateUploadResponse], error) {
	return reply(f.createUpload(ctx, r.Msg))
}

func (f *mediaFake) CompleteUpload(ctx context.Context, r *connect.Request[mediav1.CompleteUploadRequest]) (*connect.Response[mediav1.CompleteUploadResponse], error) {
	return reply(f.completeUpload(ctx, r.Msg))
}

func (f *mediaFake) GetFile(ctx context.Context, r *connect.Request[mediav1.GetFileRequest]) (*connect.Response[mediav1.GetFileResponse], error) {
	return reply(f.getFile(ctx, r.Msg))
}

func (f *mediaFake) GetFileUrl(ctx context.Context, r *connect.Request[mediav1.GetFileUrlRequest]) (*connect.Response[mediav1.GetFileUrlResponse], error) {
	return reply(f.getFileUrl(ctx, r.Msg))
}

func (f *mediaFake) GetPublicFileUrl(ctx context.Context, r *connect.Request[mediav1.GetPublicFileUrlRequest]) (*connect.Response[mediav1.GetPublicFileUrlResponse], error) {
	return reply(f.getPublicFileUrl(ctx, r.Msg))
}

func (f *mediaFake) ListFiles(ctx context.Context, r *connect.Request[mediav1.ListFilesRequest]) (*connect.Response[mediav1.ListFilesResponse], error) {
	return reply(f.listFiles(ctx, r.Msg))
}

func (f *mediaFake) ShareFile(ctx context.Context, r *connect.Request[mediav1.ShareFileRequest]) (*connect.Response[mediav1.ShareFileResponse], error) {
	return reply(f.shareFile(ctx, r.Msg))
}

func (f *mediaFake) UnshareFile(ctx context.Context, r *connect.Request[mediav1.UnshareFileRequest]) (*connect.Response[mediav1.UnshareFileResponse], error) {
	return reply(f.unshareFile(ctx, r.Msg))
}

func (f *mediaFake) DeleteFile(ctx context.Context, r *connect.Request[mediav1.DeleteFileRequest]) (*connect.Response[mediav1.DeleteFileResponse], error) {
	return reply(f.deleteFile(ctx, r.Msg))
}

// statusFake stands in for the status that each service tells.
type statusFake struct {
	get func(context.Context, *statusv1.GetStatusRequest) (*statusv1.GetStatusResponse, error)
}

var _ statusv1connect.StatusServiceHandler = (*statusFake)(nil)

func newStatusFake() *statusFake {
	return &statusFake{get: answers[statusv1.GetStatusRequest](&statusv1.GetStatusResponse{StartedAt: timestamppb.Now()})}
}

func (f *statusFake) GetStatus(ctx context.Context, r *connect.Request[statusv1.GetStatusRequest]) (*connect.Response[statusv1.GetStatusResponse], error) {
	return reply(f.get(ctx, r.Msg))
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
