package browser

import (
	"context"
	"net/http"
	"slices"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"
)

// Headers of Muster's own that browsers may send and read.
const (
	IdempotencyKeyHeader   = "Idempotency-Key"
	ConsistencyTokenHeader = "Muster-Consistency-Token"
)

// preflightSeconds is how long a browser may remember a preflight's answer:
// the longest that they all accept.
const preflightSeconds = 7200

type selfKey struct{}

// SelfFrom gives the origin under which the browser reached us; empty outside Handler.
func SelfFrom(ctx context.Context) Origin {
	self, _ := ctx.Value(selfKey{}).(Origin)
	return self
}

// Handler answers preflights, and lets pages of the allow-list read answers and,
// when they are of our own site, send the cookie (SameSite=Strict). Other origins
// get an answer without the headers, which their browser then keeps from them.
func (p *Policy) Handler(next http.Handler) http.Handler {
	return p.cors().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), selfKey{}, p.self(r))))
	}))
}

func (p *Policy) cors() *cors.Cors {
	return cors.New(cors.Options{
		// A function, since an empty list would mean everybody.
		AllowOriginFunc: func(origin string) bool { return p.listed(Origin(origin)) },
		AllowedMethods:  append(connectcors.AllowedMethods(), http.MethodPut), // of an avatar
		AllowedHeaders: slices.Concat(connectcors.AllowedHeaders(),
			[]string{"Authorization", IdempotencyKeyHeader, ConsistencyTokenHeader, "Traceparent", "X-Request-Id"}),
		ExposedHeaders: slices.Concat(connectcors.ExposedHeaders(),
			[]string{ConsistencyTokenHeader, "Retry-After", "X-Request-Id"}),
		AllowCredentials: true,
		MaxAge:           preflightSeconds,
	})
}
