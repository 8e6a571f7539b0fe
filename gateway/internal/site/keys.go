package site

import (
	"context"
	"errors"
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
	// keysRetry is how long credentials is left alone after it has not answered.
	keysRetry = time.Second
)

// KeySet serves the public keys of access tokens as a JSON Web Key Set
// (RFC 7517), readable from any page. Visitors wait for credentials only when
// there is nothing to answer with. It is safe for concurrent use.
type KeySet struct {
	fetch func(context.Context) ([]byte, error)
	now   func() time.Time

	asking chan struct{} // holds one while somebody asks for all who wait
	old    chan struct{} // tells Run that a visitor got an old set

	mu      sync.Mutex
	jwks    []byte
	fetched time.Time
	failed  time.Time // when credentials last did not answer
	failure error
}

var _ http.Handler = (*KeySet)(nil)

// NewKeySet takes the way to credentials.
func NewKeySet(fetch func(context.Context) ([]byte, error), now func() time.Time) *KeySet {
	return &KeySet{fetch: fetch, now: now, asking: make(chan struct{}, 1), old: make(chan struct{}, 1)}
}

// Run reads the set anew when visitors find it old, until ctx ends.
func (k *KeySet) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.old:
			_, _ = k.ask(ctx) // the failure is kept for those who wait
		}
	}
}

// Fetch asks credentials now; the gateway's own verifier does when it meets a
// key that it does not know.
func (k *KeySet) Fetch(ctx context.Context) ([]byte, error) {
	jwks, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.jwks, k.fetched, k.failure = jwks, k.now(), nil
	case !errors.Is(ctx.Err(), context.Canceled): // a visitor who has left says nothing of credentials
		k.failed, k.failure = k.now(), err
	}
	return jwks, err
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

// current is the set to answer with: the one that is here, unless it is too old.
func (k *KeySet) current(ctx context.Context) ([]byte, error) {
	jwks, age := k.kept()
	switch {
	case jwks != nil && age < keysFresh:
		return jwks, nil
	case jwks != nil && age < keysStale:
		select {
		case k.old <- struct{}{}:
		default: // Run knows
		}
		return jwks, nil
	}
	return k.ask(ctx)
}

// ask fetches the set, once for all who come meanwhile, and not again shortly
// after a failure.
func (k *KeySet) ask(ctx context.Context) ([]byte, error) {
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if jwks, age := k.kept(); jwks != nil && age < keysFresh {
		return jwks, nil // somebody else has asked meanwhile
	}
	if err := k.away(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	return k.Fetch(ctx)
}

func (k *KeySet) kept() ([]byte, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.jwks, k.now().Sub(k.fetched)
}

// away is the last failure, while it counts.
func (k *KeySet) away() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.failed) >= keysRetry {
		return nil
	}
	return k.failure
}
