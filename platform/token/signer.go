package token

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-id/muster/platform/secret"
)

// SignerConfig configures a Signer.
type SignerConfig struct {
	// Issuer is Muster's public URL.
	Issuer string
	// Audience is who the tokens are meant for.
	Audience string
	// KeyID names the key in the JWKS.
	KeyID string
	// Key signs.
	Key ed25519.PrivateKey
}

// Signer makes access tokens with one key.
type Signer struct{ config SignerConfig }

// NewSigner makes a signer.
func NewSigner(config SignerConfig) *Signer { return &Signer{config: config} }

// Sign makes a token. It fails for claims that Verify would refuse.
func (s *Signer) Sign(claims Claims) (secret.String, error) {
	wire := &wireClaims{
		Issuer:                s.config.Issuer,
		Audience:              jwt.ClaimStrings{s.config.Audience},
		Subject:               claims.Subject,
		SessionID:             claims.SessionID,
		ID:                    claims.ID,
		AccessVersion:         &claims.AccessVersion,
		Roles:                 claims.Roles,
		PasswordChangePending: claims.PasswordChangePending,
		IssuedAt:              jwt.NewNumericDate(claims.IssuedAt),
		ExpiresAt:             jwt.NewNumericDate(claims.ExpiresAt),
	}
	if !wire.complete() || !claims.ExpiresAt.After(claims.IssuedAt) {
		return secret.String{}, errors.New("sign token: a claim is missing")
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wire)
	unsigned.Header["typ"] = headerType
	unsigned.Header["kid"] = s.config.KeyID
	signed, err := unsigned.SignedString(s.config.Key)
	if err != nil {
		return secret.String{}, fmt.Errorf("sign token: %w", err)
	}
	if len(signed) > maxSize {
		return secret.String{}, fmt.Errorf("sign token: %d bytes are more than %d", len(signed), maxSize)
	}
	return secret.New(signed), nil
}
