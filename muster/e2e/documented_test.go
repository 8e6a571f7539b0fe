package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// description is what the gateway serves at /openapi.yaml.
var description = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("../../gateway/internal/docs/openapi.yaml")
	return string(text), err
})

// namesReason fails the test when a method gives an error that its documentation
// does not name. All tests that call over JSON pass through here.
func namesReason(t *testing.T, request *http.Request, detail *musterv1.ErrorDetail) {
	t.Helper()
	text, err := description()
	if err != nil {
		t.Fatal(err)
	}
	_, section, there := strings.Cut(text, "\n  "+request.URL.Path+":\n")
	if !there || request.Method != http.MethodPost && request.Method != http.MethodPut {
		return // no method of ours
	}
	section, _, _ = strings.Cut(section, "\n  /")
	if !strings.Contains(section, "- `"+detail.GetReason()+"` (") && detail.GetReason() != "UNIMPLEMENTED" {
		t.Errorf("%s answers %s, which its documentation does not name", request.URL.Path, detail.GetReason())
	}
}

// The page and the description are served by the running gateway.
func TestDocumentationIsServed(t *testing.T) {
	s := shared(t)
	for path, want := range map[string]string{
		"/docs":           "AuthService.Register",
		"/docs/style.css": "color-scheme",
		"/docs/script.js": "search",
		"/openapi.yaml":   "openapi: 3.1",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := s.send(t, request).ok(t)
		if !strings.Contains(got.raw, want) {
			t.Errorf("%s has no %s", path, want)
		}
		if policy := got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; style-src 'self'; script-src 'self'") {
			t.Errorf("%s: policy %s", path, policy)
		}
	}
}
