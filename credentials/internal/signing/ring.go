package signing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
)

// ErrNoKey means that no key signs at this time.
var ErrNoKey = errors.New("no signing key is active")

// Config of a Ring.
type Config struct {
	// Issuer and Audience of tokens.
	Issuer, Audience string
	// TokenLifetime is how long a token lives, and a retired key stays published.
	TokenLifetime time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Ring signs access tokens and tells the keys that they are verified with.
type Ring struct {
	config Config
	keys   []ringKey
}

type ringKey struct {
	Key
	signer *token.Signer
}

// NewRing opens the keys that a process has loaded.
func NewRing(config Config, sealer Sealer, keys []Key) (*Ring, error) {
	ring := &Ring{config: config}
	for _, key := range keys {
		private, err := sealer.open(key)
		if err != nil {
			return nil, fmt.Errorf("open signing keys: %w", err)
		}
		signer := token.NewSigner(token.SignerConfig{Issuer: config.Issuer, Audience: config.Audience, KeyID: key.ID, Key: private})
		ring.keys = append(ring.keys, ringKey{key, signer})
	}
	return ring, nil
}

// Sign makes an access token that expires after the token lifetime, with the
// key that became active last.
func (r *Ring) Sign(claims token.Claims) (signed secret.String, expiresAt time.Time, err error) {
	now := r.config.Now()
	var newest *ringKey
	for i, key := range r.keys {
		active := !key.ActivatesAt.After(now) && (key.RetiresAt.IsZero() || now.Before(key.RetiresAt))
		if active && (newest == nil || key.ActivatesAt.After(newest.ActivatesAt)) {
			newest = &r.keys[i]
		}
	}
	if newest == nil {
		return secret.String{}, time.Time{}, ErrNoKey
	}
	// A JWT counts whole seconds.
	claims.IssuedAt = now.Truncate(time.Second)
	claims.ExpiresAt = claims.IssuedAt.Add(r.config.TokenLifetime)
	signed, err = newest.signer.Sign(claims)
	if err != nil {
		return secret.String{}, time.Time{}, fmt.Errorf("sign access token: %w", err)
	}
	return signed, claims.ExpiresAt, nil
}

// JWKS tells the published keys as a JSON Web Key Set (RFC 7517).
func (r *Ring) JWKS() ([]byte, error) {
	var public []token.PublicKey
	for _, key := range r.keys {
		if r.published(key) {
			public = append(public, token.PublicKey{ID: key.ID, Key: key.Public})
		}
	}
	jwks, err := token.JWKS(public...)
	if err != nil {
		return nil, fmt.Errorf("write signing keys: %w", err)
	}
	return jwks, nil
}

var _ token.KeySource = (*Ring)(nil)

// Keys finds a published key, for the service's own check of access tokens.
func (r *Ring) Keys(_ context.Context, kid string) (token.PublicKey, error) {
	for _, key := range r.keys {
		if key.ID == kid && r.published(key) {
			return token.PublicKey{ID: key.ID, Key: key.Public}, nil
		}
	}
	return token.PublicKey{}, token.ErrUnknownKey
}

func (r *Ring) published(key ringKey) bool {
	return key.RetiresAt.IsZero() || r.config.Now().Before(key.RetiresAt.Add(r.config.TokenLifetime))
}
