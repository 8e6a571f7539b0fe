package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/token"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func pendingPassword(_ *token.SignerConfig, c *token.Claims) { c.PasswordChangePending = true }

func TestBadBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const (
		invalid  = musterv1.Reason_REASON_INVALID_ARGUMENT
		unknown  = musterv1.Reason_REASON_UNKNOWN_FIELD
		tooLarge = musterv1.Reason_REASON_BODY_TOO_LARGE
	)
	big := `{"login":"` + strings.Repeat("a", 1<<20) + `","password":"x"}`
	for name, c := range map[string]struct {
		procedure string
		body      string
		headers   []string
		status    int
		reason    musterv1.Reason
		field     string
	}{
		"unknown field":           {login, `{"login":"ada","pasword":"x"}`, nil, 400, unknown, "pasword"},
		"unknown field, charset":  {login, `{"login":"ada","pasword":"x"}`, []string{"Content-Type", "application/json; charset=utf-8"}, 400, unknown, "pasword"},
		"wrong type":              {login, `{"login":"ada","password":5}`, nil, 400, invalid, "password"},
		"field twice":             {login, `{"login":"ada","login":"eve","password":"x"}`, nil, 400, invalid, ""},
		"no JSON":                 {login, `login=ada`, nil, 400, invalid, ""},
		"empty":                   {login, ``, nil, 400, invalid, ""},
		"depth bomb":              {login, strings.Repeat(`{"login":`, 20000), nil, 400, invalid, ""},
		"over the limit":          {login, big, nil, 413, tooLarge, ""},
		"far over the limit":      {login, strings.Repeat(" ", 4<<20) + `{}`, nil, 413, tooLarge, ""},
		"over the limit, packed":  {login, pack(t, []byte(big)), []string{"Content-Encoding", "gzip"}, 413, tooLarge, ""},
		"a bomb":                  {login, pack(t, make([]byte, 64<<20)), []string{"Content-Encoding", "gzip"}, 413, tooLarge, ""},
		"not packed at all":       {login, adaLogin, []string{"Content-Encoding", "gzip"}, 400, invalid, ""},
		"a rule: too short":       {register, `{"username":"ada","email":"ada@example.com","password":"short"}`, nil, 400, invalid, "password"},
		"a rule: in camel case":   {register, `{"username":"ada","email":"ada@example.com","password":"correct horse","firstName":"` + strings.Repeat("a", 101) + `"}`, nil, 400, invalid, "firstName"},
		"a rule: no such choice":  {login, `{"login":"ada","password":"x","refreshDelivery":7}`, nil, 400, invalid, "refreshDelivery"},
		"a rule: missing":         {login, `{}`, nil, 400, invalid, "login"},
		"an unknown content type": {login, `login=ada`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, invalid, ""},
		"an unknown time-out":     {login, adaLogin, []string{"Connect-Timeout-Ms", "soon"}, 400, invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.post(c.procedure, c.body, c.headers...).refused(t, c.status, c.reason, c.field)
		})
	}
}

func pack(t *testing.T, body []byte) string {
	t.Helper()
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	if _, err := out.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// A small body must not become a large one, whichever handler takes it.
func TestABombIsNotUnpackedOnAnyPath(t *testing.T) { // not parallel: it counts what the process allocates
	const (
		most = 16 << 20
		// A picture may have 7 MiB, gathered in a buffer that doubles; the whole
		// bomb would take more than twice this.
		mostOfPicture = 48 << 20
	)
	w := newWorld(t, nil)
	bomb := pack(t, make([]byte, 64<<20))
	envelope := string(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(bomb)))) + bomb
	paths := []string{
		"/", "/livez", "/readyz", "/.well-known/jwks.json", "/docs", "/openapi.yaml",
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	}
	for _, service := range publicServices() {
		for i := range service.Methods().Len() {
			paths = append(paths, "/"+string(service.FullName())+"/"+string(service.Methods().Get(i).Name()))
		}
	}
	client, authorization := h2c(t), w.bearer(nil)
	for _, path := range paths {
		for contentType, c := range map[string]struct{ encoding, body string }{
			"application/json":           {"Content-Encoding", bomb},
			"application/proto":          {"Content-Encoding", bomb},
			"application/connect+proto":  {"Connect-Content-Encoding", envelope},
			"application/grpc":           {"Grpc-Encoding", envelope},
			"application/grpc-web+proto": {"Grpc-Encoding", envelope},
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", contentType)
			request.Header.Set(c.encoding, "gzip")
			request.Header.Set("Authorization", authorization)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body) // a stream may be cut
			response.Body.Close()
			runtime.ReadMemStats(&after)
			bound := uint64(most)
			if path == uploadAvatar {
				bound = mostOfPicture
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > bound {
				t.Errorf("%s, %s: %d MiB allocated", path, contentType, took>>20)
			}
		}
	}
}

func TestAPackedBodyWithinTheLimitIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.post(login, pack(t, []byte(adaLogin)), "Content-Encoding", "gzip").ok(t)
}

func TestTheRestOfATooLargeBodyIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	body := &filler{left: 256 << 20}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+login, body) // of a length not told
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	w.do(request).refused(t, http.StatusRequestEntityTooLarge, musterv1.Reason_REASON_BODY_TOO_LARGE, "")
	if body.sent.Load() > 64<<20 { // the system's own buffers take some
		t.Errorf("%d bytes were taken", body.sent.Load())
	}
}

// filler is a long body that counts what is taken of it.
type filler struct {
	left int
	sent atomic.Int64
}

func (f *filler) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), f.left)
	clear(p[:n])
	f.left -= n
	f.sent.Add(int64(n))
	return n, nil
}

func TestBinaryToleratesFieldsOfNewerClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	body, err := proto.Marshal(&musterv1.LoginRequest{Login: "ada", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	body = protowire.AppendString(protowire.AppendTag(body, 4711, protowire.BytesType), "from a newer client")
	w.post(login, string(body), "Content-Type", "application/proto").ok(t)
	w.post(login, string(body[:len(body)-3]), "Content-Type", "application/proto").
		refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "")
}

func TestBadAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.getProfile = func(context.Context, *identityv1.GetProfileRequest) (*identityv1.GetProfileResponse, error) {
		t.Error("identity was asked")
		return &identityv1.GetProfileResponse{}, nil
	}
	_, strange, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := w.bearer(nil)
	const (
		expired = musterv1.Reason_REASON_TOKEN_EXPIRED
		invalid = musterv1.Reason_REASON_TOKEN_INVALID
		missing = musterv1.Reason_REASON_UNAUTHENTICATED
	)
	for what, c := range map[string]struct {
		authorization string
		reason        musterv1.Reason
	}{
		"missing": {"", missing},
		"expired": {w.bearer(func(_ *token.SignerConfig, c *token.Claims) {
			c.IssuedAt, c.ExpiresAt = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
		}), expired},
		"of the wrong key":      {w.bearer(func(c *token.SignerConfig, _ *token.Claims) { c.Key = strange }), invalid},
		"of an unknown key":     {w.bearer(func(c *token.SignerConfig, _ *token.Claims) { c.Key, c.KeyID = strange, "key-9" }), invalid},
		"for somebody else":     {w.bearer(func(c *token.SignerConfig, _ *token.Claims) { c.Audience = "bank" }), invalid},
		"of another issuer":     {w.bearer(func(c *token.SignerConfig, _ *token.Claims) { c.Issuer = "https://evil.example.net" }), invalid},
		"forged":                {forge(t, good, map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": "key-1"}), invalid},
		"alg none":              {"Bearer " + unsigned(t), invalid},
		"alg HS256":             {forge(t, good, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "key-1"}), invalid},
		"cut":                   {good[:len(good)-5], invalid},
		"rubbish":               {"Bearer rubbish", invalid},
		"empty":                 {"Bearer ", invalid},
		"another scheme":        {"Basic YWRhOng=", invalid},
		"a token for passwords": {w.bearer(pendingPassword), musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED},
	} {
		var headers []string
		if c.authorization != "" {
			headers = []string{"Authorization", c.authorization}
		}
		status := http.StatusUnauthorized
		if c.reason == musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED {
			status = http.StatusBadRequest
		}
		for _, procedure := range []string{getMe, updateMe} {
			got := w.post(procedure, `{}`, headers...)
			if detail := got.detail(t); detail.GetReason() != name(c.reason) {
				t.Errorf("%s: %s", what, detail.GetReason())
			}
			got.refused(t, status, c.reason, "")
		}
	}
}

// forge changes the claims and the header of a token, and keeps its signature.
func forge(t *testing.T, bearer string, header map[string]any) string {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(bearer, "Bearer "), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	claims["sub"] = uuid.NewString()
	claims["roles"] = []string{access.Admin}
	return "Bearer " + segment(t, header) + "." + segment(t, claims) + "." + parts[2]
}

func unsigned(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	return segment(t, map[string]any{"alg": "none", "typ": "JWT", "kid": "key-1"}) + "." +
		segment(t, map[string]any{
			"iss": issuer, "aud": audience, "sub": ada, "sid": uuid.NewString(), "jti": uuid.NewString(),
			"ver": 1, "roles": []string{access.Admin}, "iat": now, "exp": now + 900,
		}) + "."
}

func segment(t *testing.T, value map[string]any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	authorization := w.bearerOf(access.Admin)
	for procedure, body := range map[string]string{
		register:   adaRegister,
		changePass: `{"presentPassword":"correct horse","newPassword":"battery staple"}`,
		updateMe:   `{"firstName":"Ada"}`,
		createUser: `{"username":"eve","email":"eve@example.com","password":"correct horse"}`,
		updateUser: `{"userId":"` + eve + `","active":false}`,
		setRoles:   `{"userId":"` + eve + `","roles":[]}`,
	} {
		for key, ok := range map[string]bool{
			"0123456789abcde":        false,
			"0123456789abcdef":       true,
			uuid.NewString():         true,
			strings.Repeat("~", 128): true,
			strings.Repeat("a", 129): false,
			"0123456789 abcdef":      false,
			"0123456789abcdef\t0":    false,
			"0123456789abcdef\u00e9": false,
		} {
			got := w.post(procedure, body, "Idempotency-Key", key, "Authorization", authorization)
			if ok {
				got.ok(t)
				continue
			}
			got.refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "Idempotency-Key")
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+register, strings.NewReader(adaRegister))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"Content-Type":    {"application/json"},
		"Idempotency-Key": {"0123456789abcdef", "fedcba9876543210"},
	}
	w.do(request).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "Idempotency-Key")
}

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const unimplemented = musterv1.Reason_REASON_UNIMPLEMENTED
	w.get("/nothing/here").refused(t, http.StatusNotFound, unimplemented, "")
	w.post("/muster.v1.AuthService/Regster", `{}`).refused(t, http.StatusNotFound, unimplemented, "")
	w.post("/muster.v1.NoService/Register", `{}`).refused(t, http.StatusNotFound, unimplemented, "")
	w.post("/livez", `{}`).refused(t, http.StatusMethodNotAllowed, unimplemented, "")
	got := w.get(register)
	got.refused(t, http.StatusMethodNotAllowed, unimplemented, "")
	if got.header.Get("Allow") != http.MethodPost {
		t.Errorf("Allow %q", got.header.Get("Allow"))
	}
	// The services behind the gateway are not reachable through it.
	w.post("/muster.credentials.v1.CredentialsService/Login", adaLogin).refused(t, http.StatusNotFound, unimplemented, "")
	w.post("/muster.identity.v1.IdentityService/RegisterUser", adaRegister).refused(t, http.StatusNotFound, unimplemented, "")
}

func TestTheCallersRequestIDIsLoggedBesideOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got := w.post(login, `{}`, "X-Request-Id", "my-request-0001")
	got.refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "login")
	id := got.header.Get("X-Request-Id")
	if _, err := uuid.Parse(id); err != nil {
		t.Errorf("request id %q", id)
	}
	w.stopGateway() // the line is written after the answer
	if want := `"request_id":"` + id + `","client_request_id":"my-request-0001"`; !strings.Contains(w.logs.String(), want) {
		t.Errorf("%s is not in %s", want, w.logs)
	}
}
