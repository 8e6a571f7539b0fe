package token

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-id/muster/platform/secret"
)

// PublicKey verifies tokens.
type PublicKey struct {
	// ID is the kid.
	ID string
	// Key is the Ed25519 key.
	Key ed25519.PublicKey
}

// KeySource finds the key that a token names.
type KeySource interface {
	// Keys fails with ErrUnknownKey or ErrKeysUnavailable.
	Keys(ctx context.Context, kid string) (PublicKey, error)
}

// ErrUnknownKey means that the issuer has published no such key.
var ErrUnknownKey = errors.New("token: unknown key")

// VerifierConfig configures a Verifier.
type VerifierConfig struct {
	// Issuer that the token has to name, exactly.
	Issuer string
	// Audience that it has to name, exactly and alone.
	Audience string
	// Keys that it may be signed with.
	Keys KeySource
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Verifier checks access tokens.
type Verifier struct {
	config VerifierConfig
	parser *jwt.Parser
}

// NewVerifier makes a verifier.
func NewVerifier(config VerifierConfig) *Verifier {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Verifier{
		config: config,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithStrictDecoding(),
			// check does it: the library would allow one skew for all times, and
			// takes an audience among others.
			jwt.WithoutClaimsValidation(),
		),
	}
}

// Verify checks a token and gives its claims. It fails with ErrExpired,
// ErrInvalid or ErrKeysUnavailable.
func (v *Verifier) Verify(ctx context.Context, presented secret.String) (Claims, error) {
	text := presented.Reveal()
	if len(text) > maxSize {
		return Claims{}, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, maxSize)
	}
	wire := &wireClaims{}
	_, err := v.parser.ParseWithClaims(text, wire, func(parsed *jwt.Token) (any, error) { return v.key(ctx, parsed.Header) })
	if errors.Is(err, ErrKeysUnavailable) {
		return Claims{}, fmt.Errorf("verify token: %w", err)
	}
	if err != nil {
		// The library's words may hold parts of the token.
		return Claims{}, fmt.Errorf("%w: it does not parse, or no published key has signed it", ErrInvalid)
	}
	if err := v.check(wire); err != nil {
		return Claims{}, err
	}
	return Claims{
		Subject:               wire.Subject,
		SessionID:             wire.SessionID,
		ID:                    wire.ID,
		AccessVersion:         *wire.AccessVersion,
		Roles:                 wire.Roles,
		PasswordChangePending: wire.PasswordChangePending,
		IssuedAt:              wire.IssuedAt.Time,
		ExpiresAt:             wire.ExpiresAt.Time,
	}, nil
}

func (v *Verifier) key(ctx context.Context, header map[string]any) (any, error) {
	// typ may be written as a media type (RFC 7515, section 4.1.9).
	kind, _ := header["typ"].(string)
	if strings.TrimPrefix(strings.ToLower(kind), "application/") != headerType {
		return nil, errors.New("not an access token")
	}
	if _, critical := header["crit"]; critical {
		return nil, errors.New("an extension that is not understood") // RFC 7515, section 4.1.11
	}
	kid, _ := header["kid"].(string)
	if kid == "" {
		return nil, ErrUnknownKey
	}
	found, err := v.config.Keys.Keys(ctx, kid)
	if err != nil && !errors.Is(err, ErrUnknownKey) {
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	if err != nil {
		return nil, err
	}
	if len(found.Key) != ed25519.PublicKeySize {
		return nil, ErrUnknownKey
	}
	return found.Key, nil
}

func (v *Verifier) check(claims *wireClaims) error {
	now := v.config.Now()
	switch {
	case !claims.complete():
		return fmt.Errorf("%w: a claim is missing", ErrInvalid)
	case claims.Issuer != v.config.Issuer:
		return fmt.Errorf("%w: of another issuer", ErrInvalid)
	case !slices.Equal(claims.Audience, jwt.ClaimStrings{v.config.Audience}):
		return fmt.Errorf("%w: for another audience", ErrInvalid)
	case claims.IssuedAt.After(now.Add(clockSkew)):
		return fmt.Errorf("%w: issued in the future", ErrInvalid)
	case claims.NotBefore != nil && claims.NotBefore.After(now.Add(clockSkew)):
		return fmt.Errorf("%w: not good yet", ErrInvalid)
	case !now.Before(claims.ExpiresAt.Time):
		return ErrExpired
	}
	return nil
}
