package browser

import (
	"net/http"
	"time"

	"github.com/muster-id/muster/platform/secret"
)

const (
	// plainName is the cookie's name without TLS, for development.
	plainName = "muster_refresh"
	// secureName binds the cookie to this host and to TLS: browsers take a
	// `__Host-` cookie only with Secure, with Path=/ and without Domain
	// (RFC 6265bis, section 4.1.3.2), so no neighbour can plant one.
	secureName = "__Host-muster_refresh"
	// plainPath is as narrow as it can be; under `__Host-` it cannot be narrow.
	plainPath = "/muster.v1.AuthService/"
)

// SetRefreshCookie puts a refresh token into an answer's cookie, until it expires.
func SetRefreshCookie(header http.Header, self Origin, token secret.String, expires time.Time) {
	cookie := blank(self)
	cookie.Value = token.Reveal()
	cookie.Expires = expires
	header.Add("Set-Cookie", cookie.String())
}

// ClearRefreshCookie makes the browser forget the cookie.
func ClearRefreshCookie(header http.Header, self Origin) {
	cookie := blank(self)
	cookie.MaxAge = -1
	header.Add("Set-Cookie", cookie.String())
}

// RefreshCookie reads the refresh token of a request's cookie; empty if there
// is none. Over TLS only the `__Host-` cookie counts: the other one could have
// been set by anybody on a neighbouring host.
func RefreshCookie(header http.Header, self Origin) secret.String {
	cookie, err := (&http.Request{Header: header}).Cookie(blank(self).Name)
	if err != nil {
		return secret.String{}
	}
	return secret.New(cookie.Value)
}

// blank is the cookie without a value. SameSite=Strict: it is only ever needed
// by a page's own POST, never by following a link.
func blank(self Origin) *http.Cookie {
	cookie := &http.Cookie{Name: plainName, Path: plainPath, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if self.Secure() {
		cookie.Name, cookie.Path, cookie.Secure = secureName, "/", true
	}
	return cookie
}
