package picture_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/gateway/internal/codec"
	"github.com/muster-id/muster/gateway/internal/picture"
	"github.com/muster-id/muster/gateway/internal/site"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	known   = "01890a5d-ac96-774b-bcce-b302099a8057"
	unknown = "01890a5d-ac96-774b-bcce-b302099a8058"
	maxBody = 1 << 20
)

// world is a gateway of which only pictures are real: the serving, the access
// gate and the routes are, and what is behind them does as it is told.
type world struct {
	addr  string
	token string
	log   *logs
}

// media answers UploadAvatar.
type media struct {
	musterv1connect.UnimplementedMediaServiceHandler
	upload func(context.Context, []byte) error
}

func (m media) UploadAvatar(ctx context.Context, request *connect.Request[musterv1.UploadAvatarRequest]) (*connect.Response[musterv1.UploadAvatarResponse], error) {
	if err := m.upload(ctx, request.Msg.GetPicture()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.UploadAvatarResponse{AvatarUrl: "http://here/avatars/" + known}), nil
}

type settings struct {
	upload func(context.Context, []byte) error
	atOnce int
	wait   time.Duration
	avatar func(context.Context, string) ([]byte, error)
	file   func(context.Context, string) (string, error)
}

func newWorld(t *testing.T, with settings) world {
	t.Helper()
	if with.atOnce == 0 {
		with.atOnce, with.wait = picture.AtOnce, picture.Wait
	}
	written := &logs{}
	logger := telemetry.NewLogger(written, slog.LevelDebug, telemetry.JSON)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.JWKS(token.PublicKey{ID: "k1", Key: public})
	if err != nil {
		t.Fatal(err)
	}
	verifier := token.NewVerifier(token.VerifierConfig{
		Issuer: "https://muster.example", Audience: "muster",
		Keys: token.NewRemoteKeys(func(context.Context) ([]byte, error) { return set, nil }, nil),
	})
	now := time.Now()
	signed, err := token.NewSigner(token.SignerConfig{Issuer: "https://muster.example", Audience: "muster", KeyID: "k1", Key: private}).
		Sign(token.Claims{Subject: "u1", SessionID: "s1", ID: "j1", AccessVersion: 1, IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	options := connect.WithHandlerOptions(
		serve.Interceptors(serve.Config{Logger: logger, Verifier: verifier, MaxRequestBytes: picture.MaxMessage}), codec.Options())
	path, handler := musterv1connect.NewMediaServiceHandler(media{upload: with.upload}, options)
	mux.Handle(path, handler)
	upload := picture.Admit(with.atOnce, with.wait)(handler)
	mux.Handle(musterv1connect.MediaServiceUploadAvatarProcedure, upload)
	mux.Handle("PUT /me/avatar", picture.NewUpload(upload))
	mux.Handle("GET /avatars/{id}", picture.NewAvatars(with.avatar))
	mux.Handle("GET /files/{id}", picture.NewFiles(with.file))
	mux.Handle(musterv1connect.NewAuthServiceHandler(musterv1connect.UnimplementedAuthServiceHandler{}, options))

	server, err := serve.New(serve.ServerConfig{
		Name: "gateway", Address: "127.0.0.1:0", Logger: logger,
		Handler: site.SecureHeaders(picture.LimitBodies(maxBody, mux)),
	})
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
	return world{addr: server.Addr(), token: signed.Reveal(), log: written}
}

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

// client speaks HTTP/1.1, or h2c, and follows no redirects.
func client(t *testing.T, h2c bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request is one to the world, with a token.
func (w world) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	return r
}

// refused is the JSON of an error.
type refused struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Debug struct {
			Reason    string `json:"reason"`
			RequestID string `json:"requestId"`
			Next      string `json:"next"`
		} `json:"debug"`
	} `json:"details"`
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func replyOf(t *testing.T, response *http.Response) reply {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, body}
}

// do sends a request and reads its answer.
func do(t *testing.T, client *http.Client, r *http.Request) reply {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return replyOf(t, response)
}

// refusedFor fails unless an answer is an error of this reason, under the
// request's id, in the one form that errors have.
func refusedFor(t *testing.T, answer reply, status int, want musterv1.Reason) {
	t.Helper()
	var got refused
	if err := json.Unmarshal(answer.body, &got); err != nil || len(got.Details) != 1 {
		t.Fatalf("%d %s", answer.status, answer.body)
	}
	detail := got.Details[0].Debug
	if "REASON_"+detail.Reason != want.String() || answer.status != status {
		t.Errorf("%d %s, want %d %s", answer.status, answer.body, status, want)
	}
	if detail.RequestID == "" || detail.RequestID != answer.header.Get(telemetry.RequestIDHeader) || detail.Next == "" {
		t.Errorf("%s in the answer with the id %s", answer.body, answer.header.Get(telemetry.RequestIDHeader))
	}
	if kind := answer.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("the error is %s", kind)
	}
}

func notFound() error { return reason.New(musterv1.Reason_REASON_NOT_FOUND) }
