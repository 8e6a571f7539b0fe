package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Origin is scheme, host and port of a page (RFC 6454), as browsers write it:
// in lower case, without a port that the scheme implies.
type Origin string

// ParseOrigin reads an origin of the configuration. Wildcards are refused:
// allowed origins may send the cookie.
func ParseOrigin(text string) (Origin, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil {
		return "", fmt.Errorf("origin %q is not a URL", text)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("origin %q does not begin with http:// or https://", text)
	case u.Hostname() == "" || strings.ContainsAny(u.Host, "*,"):
		return "", fmt.Errorf("origin %q has no host, or one with a wildcard", text)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", fmt.Errorf("origin %q has more than scheme, host and port", text)
	}
	return originOf(u.Scheme, u.Host), nil
}

func originOf(scheme, host string) Origin {
	host = strings.ToLower(host)
	implied := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return Origin(scheme + "://" + strings.TrimSuffix(host, implied))
}

// Policy says which origins may do what. It is safe for concurrent use.
type Policy struct {
	allowed []Origin
	proxies []netip.Prefix
}

// NewPolicy takes the allow-list, and the proxies that are believed when they
// say how the browser reached them.
func NewPolicy(allowed []Origin, proxies []netip.Prefix) *Policy {
	return &Policy{allowed: slices.Clone(allowed), proxies: slices.Clone(proxies)}
}

// Check is for a call that a cookie authorises, or that asks for one: nil when
// its page is of our own origin or of one on the allow-list, else
// ORIGIN_NOT_ALLOWED. A call that does not say where it comes from is refused.
func (p *Policy) Check(header http.Header, self Origin) error {
	values := header.Values("Origin")
	if len(values) != 1 {
		return reason.New(musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED)
	}
	origin := Origin(values[0])
	if p.listed(origin) {
		return nil
	}
	// The browser's own word on who is calling (Fetch Metadata) is believed when
	// it contradicts the header.
	site := header.Get("Sec-Fetch-Site")
	if origin == self && (site == "" || site == "same-origin") {
		return nil
	}
	return reason.New(musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED)
}

func (p *Policy) listed(origin Origin) bool { return slices.Contains(p.allowed, origin) }

// self is the origin under which the browser reached us.
func (p *Policy) self(r *http.Request) Origin {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if p.trusts(r.RemoteAddr) {
		if proto := r.Header.Get("X-Forwarded-Proto"); proto == "http" || proto == "https" {
			scheme = proto
		}
		if forwarded := r.Header.Get("X-Forwarded-Host"); forwarded != "" && !strings.Contains(forwarded, ",") {
			host = forwarded
		}
	}
	return originOf(scheme, host)
}

// Secure tells whether an origin is reached over TLS.
func (o Origin) Secure() bool { return strings.HasPrefix(string(o), "https://") }

func (p *Policy) trusts(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(p.proxies, func(proxy netip.Prefix) bool { return proxy.Contains(address.Unmap()) })
}
