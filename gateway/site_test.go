package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestReadyOnceThePartsAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	select {
	case <-w.gateway.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	got := w.get("/readyz")
	got.ok(t)
	if got.text != `{"ready":true,"parts":{"credentials":"ready","identity":"ready"}}`+"\n" {
		t.Errorf("got %s", got.text)
	}
}

func TestNotReadyWithoutCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.CredentialsURL = "https://127.0.0.1:1" })
	got := w.get("/readyz")
	if got.status != http.StatusServiceUnavailable ||
		got.text != `{"ready":false,"parts":{"credentials":"unreachable","identity":"ready"}}`+"\n" {
		t.Errorf("got %d %s", got.status, got.text)
	}
	select {
	case <-w.gateway.Ready():
		t.Error("ready without credentials")
	default:
	}
	w.get("/livez").ok(t)
	w.post(ping, `{}`).ok(t)
}

func TestTheKeySetIsPublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var got answer
	for _, origin := range []string{"https://anybody.example.net", allowed} {
		got = w.get("/.well-known/jwks.json", "Origin", origin)
		got.ok(t)
		if got.header.Get("Cache-Control") != "public, max-age=300" || got.header.Get("Access-Control-Allow-Origin") != "*" ||
			got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: headers %v", origin, got.header)
		}
	}
	keys, _ := got.body["keys"].([]any)
	if len(keys) != 1 || strings.Contains(got.text, `"d"`) {
		t.Errorf("got %s", got.text)
	}
	// It is kept, so visitors are no load on credentials.
	w.credentials.keys = func(context.Context, *credentialsv1.GetSigningKeysRequest) (*credentialsv1.GetSigningKeysResponse, error) {
		t.Error("asked again")
		return nil, errors.New("asked again")
	}
	w.get("/.well-known/jwks.json").ok(t)
}

func TestWithoutKeysThereIsNoKeySet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stopCredentials()
	w.get("/.well-known/jwks.json").refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
	// And no token can be told good from bad, which is not the caller's fault.
	w.post(getMe, `{}`, "Authorization", w.bearer(nil)).refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
}

func TestTheIndexSaysWhereToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got := w.get("/")
	got.ok(t)
	for _, path := range []string{register, login, getMe, "/livez", "/readyz", "/.well-known/jwks.json", "/docs", "/openapi.yaml", "PUT  /me/avatar"} {
		if !strings.Contains(got.text, path) {
			t.Errorf("the index does not name %s", path)
		}
	}
}

func TestTheDocumentationIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for path, contentType := range map[string]string{"/docs": "text/html", "/openapi.yaml": "application/yaml"} {
		got := w.get(path)
		got.ok(t)
		if !strings.HasPrefix(got.header.Get("Content-Type"), contentType) {
			t.Errorf("%s: %v", path, got.header)
		}
	}
}

func TestEveryAnswerIsKeptOutOfCachesAndFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for what, got := range map[string]answer{
		"success":   w.post(login, adaLogin),
		"refusal":   w.post(login, `{}`),
		"not found": w.get("/nothing/here"),
		"index":     w.get("/"),
	} {
		for header, want := range map[string]string{
			"Cache-Control":           "no-store",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got.header.Get(header) != want {
				t.Errorf("%s: %s is %q", what, header, got.header.Get(header))
			}
		}
	}
}

func TestPagesOfTheAllowListMayReadAnswersAndErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, got := range []answer{
		w.post(login, adaLogin, "Origin", allowed),
		w.post(login, `{}`, "Origin", allowed),
		w.post("/muster.v1.AuthService/None", `{}`, "Origin", allowed),
	} {
		exposed := strings.ToLower(got.header.Get("Access-Control-Expose-Headers"))
		if got.header.Get("Access-Control-Allow-Origin") != allowed || got.header.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(exposed, "x-request-id") || !strings.Contains(exposed, "muster-consistency-token") || !strings.Contains(exposed, "grpc-status") {
			t.Errorf("%d: %v", got.status, got.header)
		}
	}
	if got := w.post(login, adaLogin, "Origin", "https://evil.example.net"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign page may read the answer: %v", got.header)
	}
}

func TestPreflights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for origin, ok := range map[string]bool{allowed: true, "https://evil.example.net": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.base+refresh, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := w.do(request, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,idempotency-key")
		if got.status != http.StatusNoContent || (got.header.Get("Access-Control-Allow-Origin") == origin) != ok {
			t.Errorf("%s: %d %v", origin, got.status, got.header)
		}
	}
}
