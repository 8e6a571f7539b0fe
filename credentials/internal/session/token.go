package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/secret"
)

const (
	// tokenPrefix names the format and its version, and lets scanners for leaked
	// secrets find one.
	tokenPrefix = "mrt1_"
	bodyLength  = 16 + 8 // session id, number
	tokenLength = bodyLength + sha256.Size
)

// Tokens writes and reads refresh tokens. A token that it accepts was made with
// its key, so a guess never reaches the database.
type Tokens struct{ key secret.Bytes }

// NewTokens takes the key of the HMAC, 32 bytes.
func NewTokens(key secret.Bytes) Tokens { return Tokens{key} }

// Write makes the token of a number. It is always the same text.
func (t Tokens) Write(session uuid.UUID, number int64) secret.String {
	token := make([]byte, 0, tokenLength)
	token = append(token, session[:]...)
	token = binary.BigEndian.AppendUint64(token, uint64(number)) //nolint:gosec // from 1 upwards
	token = append(token, t.mac(token)...)
	return secret.New(tokenPrefix + base64.RawURLEncoding.EncodeToString(token))
}

// Read gives a token's session and number, or ErrInvalid.
func (t Tokens) Read(token secret.String) (session uuid.UUID, number int64, err error) {
	encoded, found := strings.CutPrefix(token.Reveal(), tokenPrefix)
	// Decoding skips line breaks, hence the look at the length.
	if !found || len(encoded) != base64.RawURLEncoding.EncodedLen(tokenLength) {
		return uuid.Nil, 0, ErrInvalid
	}
	bytes, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(bytes) != tokenLength || !hmac.Equal(bytes[bodyLength:], t.mac(bytes[:bodyLength])) {
		return uuid.Nil, 0, ErrInvalid
	}
	return uuid.UUID(bytes[:16]), int64(binary.BigEndian.Uint64(bytes[16:bodyLength])), nil //nolint:gosec // what Write was given
}

func (t Tokens) mac(body []byte) []byte {
	mac := hmac.New(sha256.New, t.key.Reveal())
	_, _ = mac.Write([]byte(tokenPrefix)) // never fails
	_, _ = mac.Write(body)
	return mac.Sum(nil)
}
