package site

import (
	"io"
	"net/http"
)

// index is what somebody sees who opens the address itself.
const index = `Muster: register, sign in, keep a profile.

Start here:
  GET  /docs                             every method, with examples and errors
  POST /muster.v1.AuthService/Register
  POST /muster.v1.AuthService/Login
  POST /muster.v1.UserService/GetMe      (Authorization: Bearer ACCESS_TOKEN)
with the header Content-Type: application/json and the request as the body, {} at least.
  PUT  /me/avatar                        the picture as the body, and the same Authorization

Also here:
  /openapi.yaml                          the same as /docs, for programs
  /livez /readyz                         whether it lives, whether it can work
  /.well-known/jwks.json                 the keys that access tokens are verified with
  gRPC, gRPC-Web, gRPC health and reflection, on this same port
`

// Mount adds the pages to a mux.
func Mount(mux *http.ServeMux, readiness *Readiness, keys *KeySet) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, index)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, "alive\n")
	})
	mux.Handle("GET /readyz", readiness)
	mux.Handle("GET /.well-known/jwks.json", keys)
}

// SecureHeaders sets the headers of every answer. Nothing here is for frames,
// and answers hold tokens, so they are kept nowhere; a page that may be kept
// says so itself.
func SecureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // fails when the client has gone
}
