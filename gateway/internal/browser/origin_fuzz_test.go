package browser

import (
	"net/http"
	"strings"
	"testing"
)

// No header makes an origin of another's: what is let through is on the list, or
// is the origin that the browser reached us under.
func FuzzCheck(f *testing.F) {
	f.Add("https://app.example.org", "app.example.org", "same-origin")
	f.Add("https://muster.example.org", "muster.example.org:443", "")
	f.Add("null", "", "none")
	f.Add("https://app.example.org.evil.example", "app.example.org", "cross-site")
	f.Add("HTTPS://APP.EXAMPLE.ORG", "%00", "same-site")
	const listed = Origin("https://app.example.org")
	policy := NewPolicy([]Origin{listed}, nil)
	f.Fuzz(func(t *testing.T, origin, host, site string) {
		self := policy.self(&http.Request{Host: host, RemoteAddr: "203.0.113.9:1"})
		err := policy.Check(http.Header{"Origin": {origin}, "Sec-Fetch-Site": {site}}, self)
		if own := Origin(origin) == self && site != "cross-site" && site != "same-site"; err == nil && Origin(origin) != listed && !own {
			t.Errorf("%q at %q, %q was let through", origin, host, site)
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	for _, text := range []string{
		"https://app.example.org", "http://localhost:5173/", "https://*.example.org", "https://a@b", "https://[::1]:443", "HTTPS://A:443", "javascript:x", "https://a/?",
		"https://:80", "https://a:80:443",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := ParseOrigin(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(string(origin), "*,@?#") || string(origin) != strings.ToLower(string(origin)) {
			t.Errorf("%q is allowed as %q", text, origin)
		}
		if again, err := ParseOrigin(string(origin)); err != nil || again != origin {
			t.Errorf("%q is %q, and that %q, %v", text, origin, again, err)
		}
	})
}
