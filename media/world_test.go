package media_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/media"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections of the tests themselves, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

var discard = slog.New(slog.DiscardHandler)

const (
	issuer   = "http://muster.test"
	audience = "muster"
)

// house is media with what it needs of the rest: an identity that has a log and a
// keyring, a credentials that tells its signing key, and an S3; the lines to
// identity and to S3 can be cut.
type house struct {
	config       media.Config
	certificates string
	signer       *token.Signer
	keyring      *eventtest.Keyring
	people       *postgres.Log
	s3           teststack.S3
	toS3         *teststack.Line
	toIdentity   *teststack.Line
	url          string
}

// newHouse makes everything but media itself.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{certificates: t.TempDir(), keyring: eventtest.NewKeyring(), s3: teststack.Bucket(t)}
	if err := certificate.MakeAuthority(h.certificates, "identity", "credentials", "gateway", "media"); err != nil {
		t.Fatal(err)
	}
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	rows := teststack.Database(t, sets...)
	h.toS3 = teststack.NewLine(t, strings.TrimPrefix(h.s3.Endpoint, "http://"))
	h.toIdentity = teststack.NewLine(t, h.identity(t))
	h.config = media.Config{
		Listen:           "127.0.0.1:0",
		Certificates:     h.certificates,
		IdentityURL:      "https://" + h.toIdentity.Addr(),
		CredentialsURL:   "https://" + h.credentials(t),
		DatabaseURL:      rows.Runtime,
		DatabaseOwnerURL: rows.Owner,
		TokenIssuer:      issuer,
		TokenAudience:    audience,
		S3Endpoint:       "http://" + h.toS3.Addr(),
		S3PublicEndpoint: h.s3.Endpoint,
		S3Region:         h.s3.Region,
		S3Bucket:         h.s3.Bucket,
		S3AccessKey:      h.s3.AccessKey,
		S3SecretKey:      h.s3.SecretKey,
		MaxFileBytes:     1 << 20,
		URLLifetime:      5 * time.Minute,
		UploadLifetime:   15 * time.Minute,
	}
	return h
}

// identity serves its log and the keyring, and gives the address.
func (h *house) identity(t *testing.T) string {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), urls.Runtime, "identity", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if h.people, err = postgres.Open(t.Context(), pool, "identity", discard); err != nil {
		t.Fatal(err)
	}
	teststack.Background(t, h.people.Run)
	options := serve.Interceptors(serve.Config{Logger: discard})
	mux := http.NewServeMux()
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(h.people), options))
	mux.Handle(keyringv1connect.NewKeyringServiceHandler(h.keyring, options))
	return h.serve(t, "identity", mux)
}

// signingKeys is credentials as media knows it.
type signingKeys struct {
	credentialsv1connect.UnimplementedCredentialsServiceHandler
	jwks []byte
}

func (s signingKeys) GetSigningKeys(context.Context, *connect.Request[credentialsv1.GetSigningKeysRequest]) (*connect.Response[credentialsv1.GetSigningKeysResponse], error) {
	return connect.NewResponse(&credentialsv1.GetSigningKeysResponse{Jwks: s.jwks}), nil
}

func (h *house) credentials(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.signer = token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "test", Key: private})
	jwks, err := token.JWKS(token.PublicKey{ID: "test", Key: public})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(credentialsv1connect.NewCredentialsServiceHandler(signingKeys{jwks: jwks}, serve.Interceptors(serve.Config{Logger: discard})))
	return h.serve(t, "credentials", mux)
}

func (h *house) serve(t *testing.T, name string, handler http.Handler) string {
	t.Helper()
	self, err := certificate.Load(h.certificates, name)
	if err != nil {
		t.Fatal(err)
	}
	server, err := serve.New(serve.ServerConfig{Name: name, Address: "127.0.0.1:0", Handler: handler, TLS: self.ServerTLS(), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	teststack.Background(t, server.Run)
	return server.Addr()
}

// start starts media and waits until it answers.
func (h *house) start(t *testing.T) (stop func()) {
	t.Helper()
	service, err := media.New(t.Context(), h.config, discard)
	if err != nil {
		t.Fatal(err)
	}
	stop = teststack.Background(t, service.Run)
	<-service.Ready()
	h.url = "https://" + service.Addr()
	return stop
}

// as is the HTTP client of a service.
func (h *house) as(t *testing.T, service string) *http.Client {
	t.Helper()
	self, err := certificate.Load(h.certificates, service)
	if err != nil {
		t.Fatal(err)
	}
	client := serve.InternalClient(self, "media", h.url)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func (h *house) media(t *testing.T, caller string) mediav1connect.MediaServiceClient {
	return mediav1connect.NewMediaServiceClient(h.as(t, caller), h.url, serve.ClientInterceptors())
}

// signedIn is the context of somebody's calls.
func (h *house) signedIn(t *testing.T, user string, roles ...string) context.Context {
	t.Helper()
	signed, err := h.signer.Sign(token.Claims{
		Subject: user, SessionID: uuid.NewString(), ID: uuid.NewString(), AccessVersion: 2, Roles: roles,
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := telemetry.WithRequest(t.Context(), telemetry.Request{ID: "request", ClientAddress: "192.0.2.77", UserAgent: "canary-agent"})
	return access.WithPrincipal(ctx, access.Principal{UserID: user, Token: signed})
}

// erase appends what identity appends for somebody who is erased.
func (h *house) erase(t *testing.T, user string) {
	t.Helper()
	h.happened(t, user, &identityeventsv1.UserErased{UserId: user})
}

// happened appends an event of identity's that has nothing to seal.
func (h *house) happened(t *testing.T, user string, message proto.Message) {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"userId":"` + user + `"}`)
	if _, err := h.people.Append(t.Context(), eventstore.Append{Stream: "user-" + user, Expected: eventstore.AnyVersion, Events: []eventstore.Event{{
		ID: id, Type: string(proto.MessageName(message)), SchemaVersion: 1, OccurredAt: time.Now().UTC(), Payload: payload,
	}}}); err != nil {
		t.Fatal(err)
	}
}

func aPicture(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 20, 10))
	img.Set(3, 3, color.White)
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const note = "just some words"

// upload makes a whole file, as the gateway and a browser do together.
func (h *house) upload(ctx context.Context, t *testing.T) *mediav1.File {
	t.Helper()
	client := h.media(t, "gateway")
	created, err := client.CreateUpload(ctx, connect.NewRequest(&mediav1.CreateUploadRequest{Name: "canary-note.txt", ContentType: "text/plain", Size: int64(len(note))}))
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := teststack.PostForm(t, created.Msg.GetUrl(), created.Msg.GetFields(), note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d %s", status, answer)
	}
	completed, err := client.CompleteUpload(ctx, connect.NewRequest(&mediav1.CompleteUploadRequest{FileId: created.Msg.GetFileId()}))
	if err != nil {
		t.Fatal(err)
	}
	return completed.Msg.GetFile()
}

// fetch reads an address.
func fetch(t *testing.T, address string) (status int, content string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
