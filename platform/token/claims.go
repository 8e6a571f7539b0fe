package token

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// headerType is the token's type (RFC 9068, section 2.1), so that no other
	// JWT of the issuer passes for an access token.
	headerType = "at+jwt"
	// maxSize bounds what is parsed at all.
	maxSize = 8 << 10
	// clockSkew is allowed on iat and nbf, never on exp.
	clockSkew = 30 * time.Second
)

// What Verify answers.
var (
	// ErrExpired means that the token was good and is no more.
	ErrExpired = errors.New("token: expired")
	// ErrInvalid means that it is malformed, forged, or meant for somebody else.
	ErrInvalid = errors.New("token: not valid")
	// ErrKeysUnavailable means that nothing can be said: the keys cannot be read.
	ErrKeysUnavailable = errors.New("token: signing keys cannot be read")
)

// Claims of an access token.
type Claims struct {
	// Subject is the account's id (sub).
	Subject string
	// SessionID is the session (sid).
	SessionID string
	// ID is the token's own (jti).
	ID string
	// AccessVersion is the version of the person's access at signing (ver).
	AccessVersion int64
	// Roles of the person at signing.
	Roles []string
	// PasswordChangePending marks a token that is good for changing the password
	// alone (pwc).
	PasswordChangePending bool
	// IssuedAt (iat), in whole seconds.
	IssuedAt time.Time
	// ExpiresAt (exp), in whole seconds.
	ExpiresAt time.Time
}

// wireClaims are the claims as they stand in a token. Pointers tell a claim
// that is missing from one that is zero.
type wireClaims struct {
	Issuer                string           `json:"iss"`
	Audience              jwt.ClaimStrings `json:"aud"`
	Subject               string           `json:"sub"`
	SessionID             string           `json:"sid"`
	ID                    string           `json:"jti"`
	AccessVersion         *int64           `json:"ver"`
	Roles                 []string         `json:"roles,omitempty"`
	PasswordChangePending bool             `json:"pwc,omitempty"`
	IssuedAt              *jwt.NumericDate `json:"iat"`
	NotBefore             *jwt.NumericDate `json:"nbf,omitempty"`
	ExpiresAt             *jwt.NumericDate `json:"exp"`
}

var _ jwt.Claims = (*wireClaims)(nil)

// The methods that jwt.Claims asks for.
func (c *wireClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }
func (c *wireClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt, nil }
func (c *wireClaims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore, nil }
func (c *wireClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *wireClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *wireClaims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }

// complete tells whether every claim that has to be there is.
func (c *wireClaims) complete() bool {
	return c.Subject != "" && c.SessionID != "" && c.ID != "" &&
		c.AccessVersion != nil && c.IssuedAt != nil && c.ExpiresAt != nil
}
