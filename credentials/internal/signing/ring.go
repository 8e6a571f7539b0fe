package signing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
)

// ErrNoKey means that there is no key to sign with.
var ErrNoKey = errors.New("there is no signing key")

// Config of a Ring.
type Config struct {
	// Issuer and Audience of tokens.
	Issuer, Audience string
	// TokenLifetime is how long a token lives.
	TokenLifetime time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Ring signs access tokens and tells the keys that they are verified with. It is
// safe for concurrent use.
type Ring struct {
	config Config
	sealer Sealer
	held   atomic.Pointer[held]
}

// held is what a ring holds at one time.
type held struct {
	stored []Key
	public []token.PublicKey
	// sign signs with the newest key. A function, so that no print of the struct
	// shows the key in it.
	sign func(token.Claims) (secret.String, error)
}

// NewRing opens the keys that a process has loaded; the newest signs. Errors:
// ErrSealed, ErrNoKey.
func NewRing(config Config, sealer Sealer, keys []Key) (*Ring, error) {
	ring := &Ring{config: config, sealer: sealer}
	if err := ring.Replace(keys); err != nil {
		return nil, err
	}
	return ring, nil
}

// Replace opens other keys in place of those that are held, which stay where it
// fails. Errors: ErrSealed, ErrNoKey.
func (r *Ring) Replace(keys []Key) error {
	if len(keys) == 0 {
		return fmt.Errorf("open signing keys: %w", ErrNoKey)
	}
	next := &held{stored: slices.Clone(keys)}
	// In one order everywhere, so that all replicas sign with one key.
	slices.SortFunc(next.stored, func(a, b Key) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	for _, key := range next.stored {
		private, err := r.sealer.open(key)
		if err != nil {
			return fmt.Errorf("open signing keys: %w", err)
		}
		next.sign = token.NewSigner(token.SignerConfig{Issuer: r.config.Issuer, Audience: r.config.Audience, KeyID: key.ID, Key: private}).Sign
		next.public = append(next.public, token.PublicKey{ID: key.ID, Key: key.Public})
	}
	r.held.Store(next)
	return nil
}

// Stored are the keys that are held, the oldest first, sealed as they are stored.
func (r *Ring) Stored() []Key { return slices.Clone(r.held.Load().stored) }

// Sign makes an access token that expires after the token lifetime.
func (r *Ring) Sign(claims token.Claims) (signed secret.String, expiresAt time.Time, err error) {
	// A JWT counts whole seconds.
	claims.IssuedAt = r.config.Now().Truncate(time.Second)
	claims.ExpiresAt = claims.IssuedAt.Add(r.config.TokenLifetime)
	signed, err = r.held.Load().sign(claims)
	if err != nil {
		return secret.String{}, time.Time{}, fmt.Errorf("sign access token: %w", err)
	}
	return signed, claims.ExpiresAt, nil
}

// JWKS tells the public keys as a JSON Web Key Set (RFC 7517).
func (r *Ring) JWKS() ([]byte, error) {
	jwks, err := token.JWKS(r.held.Load().public...)
	if err != nil {
		return nil, fmt.Errorf("write signing keys: %w", err)
	}
	return jwks, nil
}

var _ token.KeySource = (*Ring)(nil)

// Keys finds a public key, for the service's own check of access tokens.
func (r *Ring) Keys(_ context.Context, kid string) (token.PublicKey, error) {
	for _, key := range r.held.Load().public {
		if key.ID == kid {
			return key, nil
		}
	}
	return token.PublicKey{}, token.ErrUnknownKey
}
