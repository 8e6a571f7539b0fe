package site

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// keysFresh is how long the keys are answered without asking credentials.
	keysFresh = time.Minute
	// keysStale is how long they are answered while credentials does not answer.
	keysStale = time.Hour
	// keysTimeout bounds how long a visitor waits for them.
	keysTimeout = 5 * time.Second
)

// KeySet serves the public keys of access tokens as a JSON Web Key Set
// (RFC 7517), readable from any page. It is safe for concurrent use.
type KeySet struct {
	fetch func(context.Context) ([]byte, error)
	now   func() time.Time

	asking sync.Mutex // so that many visitors ask once

	mu      sync.Mutex
	jwks    []byte
	fetched time.Time
}

var _ http.Handler = (*KeySet)(nil)

// NewKeySet takes the way to credentials.
func NewKeySet(fetch func(context.Context) ([]byte, error), now func() time.Time) *KeySet {
	return &KeySet{fetch: fetch, now: now}
}

// Fetch asks credentials now; the gateway's own verifier does when it meets a
// key that it does not know.
func (k *KeySet) Fetch(ctx context.Context) ([]byte, error) {
	jwks, err := k.fetch(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jwks, k.fetched = jwks, k.now()
	return jwks, nil
}

// ServeHTTP answers the key set, or 503 when credentials has not answered for
// an hour.
func (k *KeySet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	jwks, err := k.current(r.Context())
	if err != nil {
		serve.WriteError(w, r, reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Cause(err)))
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Del("Access-Control-Allow-Credentials") // browsers refuse it beside the star
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(jwks) // fails when the client has gone
}

func (k *KeySet) current(ctx context.Context) ([]byte, error) {
	if jwks, age := k.kept(); jwks != nil && age < keysFresh {
		return jwks, nil
	}
	k.asking.Lock()
	defer k.asking.Unlock()
	kept, age := k.kept()
	if kept != nil && age < keysFresh {
		return kept, nil // somebody else has asked meanwhile
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	jwks, err := k.Fetch(ctx)
	if err != nil && kept != nil && age < keysStale {
		return kept, nil
	}
	return jwks, err
}

func (k *KeySet) kept() ([]byte, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.jwks, k.now().Sub(k.fetched)
}
