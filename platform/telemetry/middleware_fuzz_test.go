package telemetry

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a stranger's headers say, the client's address is one or none, and
// without a trusted proxy in between it is the peer's.
func FuzzClientAddress(f *testing.F) {
	f.Add("203.0.113.9:443", "198.51.100.7")
	f.Add("127.0.0.1:1", "198.51.100.7, 10.0.0.1")
	f.Add("127.0.0.1:1", "fe80::1%eth0")
	f.Add("[::ffff:127.0.0.1]:1", "unknown, ::1,, 127.0.0.1")
	f.Add("@", "for=x")
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		for _, proxies := range [][]netip.Prefix{nil, trusted} {
			told := clientAddress(r, proxies)
			peer, err := netip.ParseAddrPort(remote)
			if err != nil {
				if told != "" {
					t.Errorf("from %q came %q", remote, told)
				}
				continue
			}
			address, err := netip.ParseAddr(told)
			if err != nil || address.Zone() != "" || address.Is4In6() {
				t.Errorf("%q through %q is no plain address: %q", forwarded, remote, told)
			}
			if own := peer.Addr().Unmap().WithZone(""); proxies == nil && address != own {
				t.Errorf("a stranger at %s passes for %s", own, address)
			}
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64)")
	f.Add("\x1b[31mred\x1b[0m\r\nforged: line")
	f.Add("\xff\u202e\u2028")
	f.Add(strings.Repeat("ж", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		shown := printable(text)
		if len(shown) > maxUserAgent || !utf8.ValidString(shown) {
			t.Errorf("%d bytes, valid %t", len(shown), utf8.ValidString(shown))
		}
		for _, char := range shown {
			if !unicode.IsPrint(char) {
				t.Errorf("%q shows %q", text, char)
			}
		}
	})
}
