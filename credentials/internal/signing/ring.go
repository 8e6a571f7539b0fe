package signing

import (
	"context"
	"errors"
	"fmt"
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

// Ring signs access tokens and tells the keys that they are verified with.
type Ring struct {
	config Config
	// sign signs with the newest key. A function, so that no print of the struct
	// shows the key in it.
	sign   func(token.Claims) (secret.String, error)
	public []token.PublicKey
}

// NewRing opens the keys that a process has loaded, the oldest first; the newest
// signs. Errors: ErrSealed, ErrNoKey.
func NewRing(config Config, sealer Sealer, keys []Key) (*Ring, error) {
	ring := &Ring{config: config}
	for _, key := range keys {
		private, err := sealer.open(key)
		if err != nil {
			return nil, fmt.Errorf("open signing keys: %w", err)
		}
		ring.sign = token.NewSigner(token.SignerConfig{Issuer: config.Issuer, Audience: config.Audience, KeyID: key.ID, Key: private}).Sign
		ring.public = append(ring.public, token.PublicKey{ID: key.ID, Key: key.Public})
	}
	if ring.sign == nil {
		return nil, fmt.Errorf("open signing keys: %w", ErrNoKey)
	}
	return ring, nil
}

// Sign makes an access token that expires after the token lifetime.
func (r *Ring) Sign(claims token.Claims) (signed secret.String, expiresAt time.Time, err error) {
	// A JWT counts whole seconds.
	claims.IssuedAt = r.config.Now().Truncate(time.Second)
	claims.ExpiresAt = claims.IssuedAt.Add(r.config.TokenLifetime)
	signed, err = r.sign(claims)
	if err != nil {
		return secret.String{}, time.Time{}, fmt.Errorf("sign access token: %w", err)
	}
	return signed, claims.ExpiresAt, nil
}

// JWKS tells the public keys as a JSON Web Key Set (RFC 7517).
func (r *Ring) JWKS() ([]byte, error) {
	jwks, err := token.JWKS(r.public...)
	if err != nil {
		return nil, fmt.Errorf("write signing keys: %w", err)
	}
	return jwks, nil
}

var _ token.KeySource = (*Ring)(nil)

// Keys finds a public key, for the service's own check of access tokens.
func (r *Ring) Keys(_ context.Context, kid string) (token.PublicKey, error) {
	for _, key := range r.public {
		if key.ID == kid {
			return key, nil
		}
	}
	return token.PublicKey{}, token.ErrUnknownKey
}
