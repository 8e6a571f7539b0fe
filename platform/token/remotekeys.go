package token

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	fetchTimeout = 2 * time.Second
	// refreshAfter is how long a retired key is taken while the issuer answers.
	refreshAfter = 10 * time.Minute
	// trustFor is how long it is taken at most: nobody can say that a set is
	// still good when the issuer has been silent for longer.
	trustFor = time.Hour
	// refetchAfter keeps forged key ids from becoming a load on the issuer.
	refetchAfter = 5 * time.Second
	// retryAfter is the same while there is no key at all.
	retryAfter = 200 * time.Millisecond
)

// RemoteKeys reads the issuer's JWKS when it needs to and keeps it: a set that
// is 10 minutes old is read anew while it goes on serving, a key id that is not
// in it is looked for at most every 5 seconds, and while the issuer does not
// answer the last good set stays, but not for longer than an hour.
type RemoteKeys struct {
	fetch func(ctx context.Context) ([]byte, error)
	now   func() time.Time
	group singleflight.Group

	mu      sync.Mutex
	keys    map[string]PublicKey
	fetched time.Time // when keys were read
	tried   time.Time // when they were last asked for
	failure error     // of the last try
}

var _ KeySource = (*RemoteKeys)(nil)

// NewRemoteKeys reads with fetch, which gets 2 seconds. now is the clock;
// time.Now if nil.
func NewRemoteKeys(fetch func(ctx context.Context) (jwks []byte, err error), now func() time.Time) *RemoteKeys {
	if now == nil {
		now = time.Now
	}
	return &RemoteKeys{fetch: fetch, now: now}
}

// Keys finds a key. It fails with ErrUnknownKey, or with ErrKeysUnavailable
// when the issuer could not be asked.
func (r *RemoteKeys) Keys(ctx context.Context, kid string) (PublicKey, error) {
	key, known, due := r.look(kid)
	if known {
		if due {
			r.refresh(ctx) // not waited for: the key that is here is good
		}
		return key, nil
	}
	if due {
		select {
		case <-r.refresh(ctx):
		case <-ctx.Done():
			return PublicKey{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if key, ok := r.keys[kid]; ok {
		return key, nil
	}
	if r.failure != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, r.failure)
	}
	return PublicKey{}, ErrUnknownKey
}

// look finds a key among those that are here, and tells whether to ask anew.
func (r *RemoteKeys) look(kid string) (key PublicKey, known, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(r.fetched) >= trustFor {
		r.keys = nil
	}
	key, known = r.keys[kid]
	wait := refetchAfter
	if r.keys == nil {
		wait = retryAfter
	}
	due = now.Sub(r.tried) >= wait && (!known || now.Sub(r.fetched) >= refreshAfter)
	return key, known, due
}

// refresh reads the set, once for all who ask at the same time. It goes on when
// the caller who happened to be first has gone.
func (r *RemoteKeys) refresh(ctx context.Context) <-chan singleflight.Result {
	return r.group.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		text, err := r.fetch(ctx)
		var keys map[string]PublicKey
		if err == nil {
			keys, err = readJWKS(text)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tried, r.failure = r.now(), err
		if err == nil {
			r.keys, r.fetched = keys, r.tried
		}
		return nil, err
	})
}
