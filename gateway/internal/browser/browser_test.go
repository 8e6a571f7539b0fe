package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	ours    Origin = "http://127.0.0.1:8080"
	theirs  Origin = "https://app.example.com"
	foreign Origin = "https://evil.example.net"
)

func TestOriginsAreReadAsBrowsersWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Origin{
		"https://app.example.com":     theirs,
		"https://App.Example.com/":    theirs,
		"https://app.example.com:443": theirs,
		"http://localhost:5173":       "http://localhost:5173",
		"http://localhost:80":         "http://localhost",
		"http://[::1]:8080":           "http://[::1]:8080",
	} {
		if got, err := ParseOrigin(text); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "*", "null", "app.example.com", "https://*.example.com", "https://", "https://a.example.com/path",
		"https://a.example.com?x", "https://u@a.example.com", "ftp://a.example.com", "https://a.example.com,https://b.example.com",
	} {
		if got, err := ParseOrigin(text); err == nil {
			t.Errorf("%q was read as %q", text, got)
		}
	}
}

func TestACookieAuthorisesOnlyFromOurOwnOriginOrTheAllowList(t *testing.T) {
	t.Parallel()
	policy := NewPolicy([]Origin{theirs}, nil)
	for name, c := range map[string]struct {
		origins []string
		site    string
		ok      bool
	}{
		"own":                               {[]string{string(ours)}, "", true},
		"own, said by the browser":          {[]string{string(ours)}, "same-origin", true},
		"own, contradicted by the browser":  {[]string{string(ours)}, "cross-site", false},
		"own host, another port or scheme":  {[]string{string(ours)}, "same-site", false},
		"allowed":                           {[]string{string(theirs)}, "", true},
		"allowed, on another site":          {[]string{string(theirs)}, "cross-site", true},
		"foreign":                           {[]string{string(foreign)}, "", false},
		"foreign, on another site":          {[]string{string(foreign)}, "cross-site", false},
		"foreign that begins like ours":     {[]string{string(ours) + ".evil.example.net"}, "", false},
		"foreign that ends like an allowed": {[]string{"https://evil-app.example.com"}, "", false},
		"sandboxed":                         {[]string{"null"}, "cross-site", false},
		"not told":                          {nil, "", false},
		"not told, said to be ours":         {nil, "same-origin", false},
		"told twice":                        {[]string{string(ours), string(foreign)}, "", false},
		"empty":                             {[]string{""}, "", false},
	} {
		header := http.Header{"Origin": c.origins}
		if c.site != "" {
			header.Set("Sec-Fetch-Site", c.site)
		}
		err := policy.Check(header, ours)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && reason.Of(err) != musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED {
			t.Errorf("%s: %v", name, reason.Of(err))
		}
	}
}

func TestTheOwnOriginIsHowTheBrowserReachedUs(t *testing.T) {
	t.Parallel()
	policy := NewPolicy(nil, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	forwarded := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "id.example.com"}
	for name, c := range map[string]struct {
		url    string
		remote string
		header map[string]string
		want   Origin
	}{
		"in clear":                  {"http://127.0.0.1:8080/", "127.0.0.1:1", nil, ours},
		"over TLS":                  {"https://id.example.com/", "203.0.113.9:1", nil, "https://id.example.com"},
		"behind a trusted proxy":    {"http://gateway:8080/", "10.1.2.3:1", forwarded, "https://id.example.com"},
		"behind a proxy, IPv4 in 6": {"http://gateway:8080/", "[::ffff:10.1.2.3]:1", forwarded, "https://id.example.com"},
		"a stranger's word":         {"http://127.0.0.1:8080/", "203.0.113.9:1", forwarded, ours},
		"a proxy's odd word":        {"http://127.0.0.1:8080/", "10.1.2.3:1", map[string]string{"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a,b"}, ours},
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, c.url, nil)
		r.RemoteAddr = c.remote
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		if got := policy.self(r); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheCookieIsAsNarrowAsItCanBe(t *testing.T) {
	t.Parallel()
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for self, want := range map[Origin]string{
		ours:   "muster_refresh=v.1-_; Path=/muster.v1.AuthService/; Expires=Wed, 02 Jan 2030 03:04:05 GMT; HttpOnly; SameSite=Strict",
		theirs: "__Host-muster_refresh=v.1-_; Path=/; Expires=Wed, 02 Jan 2030 03:04:05 GMT; HttpOnly; Secure; SameSite=Strict",
	} {
		header := http.Header{}
		SetRefreshCookie(header, self, secret.New("v.1-_"), expires)
		if got := header.Get("Set-Cookie"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", self, got, want)
		}
		cleared := http.Header{}
		ClearRefreshCookie(cleared, self)
		got := cleared.Get("Set-Cookie")
		if name, _, _ := strings.Cut(want, "="); !strings.HasPrefix(got, name+"=; Path=/") || !strings.Contains(got, "Max-Age=0") {
			t.Errorf("%s: cleared by %s", self, got)
		}
	}
}

func TestOverTLSOnlyTheHostCookieCounts(t *testing.T) {
	t.Parallel()
	header := http.Header{"Cookie": {"muster_refresh=planted; __Host-muster_refresh=real"}}
	if got := RefreshCookie(header, theirs).Reveal(); got != "real" {
		t.Errorf("over TLS: %q", got)
	}
	if got := RefreshCookie(header, ours).Reveal(); got != "planted" {
		t.Errorf("in clear: %q", got)
	}
	if got := RefreshCookie(http.Header{"Cookie": {"muster_refresh=planted"}}, theirs); !got.Empty() {
		t.Errorf("over TLS, planted alone: %q", got.Reveal())
	}
}

func TestPreflights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allowed []Origin
		origin  Origin
		headers string
		ok      bool
	}{
		"allowed":                {[]Origin{theirs}, theirs, "authorization,content-type,idempotency-key,muster-consistency-token", true},
		"a header not on a list": {[]Origin{theirs}, theirs, "x-evil", false},
		"foreign":                {[]Origin{theirs}, foreign, "content-type", false},
		"nobody is on the list":  {nil, foreign, "content-type", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached := false
			handler := NewPolicy(c.allowed, nil).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
			r := httptest.NewRequestWithContext(context.Background(), http.MethodOptions, "/muster.v1.AuthService/Login", nil)
			r.Header.Set("Origin", string(c.origin))
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
			r.Header.Set("Access-Control-Request-Headers", c.headers)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if reached {
				t.Error("a preflight reached the service")
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); (got == string(c.origin)) != c.ok {
				t.Errorf("Access-Control-Allow-Origin %q", got)
			}
			if got := w.Header().Get("Access-Control-Allow-Credentials"); (got == "true") != c.ok {
				t.Errorf("Access-Control-Allow-Credentials %q", got)
			}
		})
	}
}
