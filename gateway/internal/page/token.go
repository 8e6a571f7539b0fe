package page

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/secret"
)

// ErrInvalid is answered for a token that was altered, or made for another
// query or caller, or with another key.
var ErrInvalid = errors.New("page: token not valid")

const (
	// version leads each token, so that its shape can change while old tokens
	// are still on their way.
	version byte = 1
	// label keeps this key apart from all others that are made of the same secret.
	label    = "muster page token"
	keyBytes = 32
)

// Query is what a token is bound to.
type Query struct {
	// Method is the procedure that lists.
	Method string
	// Caller is the id of the account that asks.
	Caller string
	// Filters is the request as the service behind gets it, without place and
	// size of the page: how many accounts to a page may change on the way.
	Filters proto.Message
}

// Sealer seals and opens tokens. It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives its key (HKDF, RFC 5869) from a secret that all gateways
// of one installation share.
func NewSealer(shared secret.Bytes) (*Sealer, error) {
	key, err := hkdf.Key(sha256.New, shared.Reveal(), nil, label, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("page: derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	// A random nonce of 96 bits is good for 2^32 tokens of a key; should one come
	// twice after more, its holders could only turn to another page of their own
	// query.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// Seal makes the token of the place where a page of the query ended: URL-safe
// text, about 60 characters longer than four thirds of the place.
func (s *Sealer) Seal(query Query, place proto.Message) (string, error) {
	plain, err := proto.Marshal(place)
	if err != nil {
		return "", fmt.Errorf("seal page token: %w", err)
	}
	bound, err := query.bytes()
	if err != nil {
		return "", fmt.Errorf("seal page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal([]byte{version}, nil, plain, bound)), nil
}

// Open reads a token into place, or fails with ErrInvalid.
func (s *Sealer) Open(query Query, token string, place proto.Message) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	// One token has one spelling; the decoder alone skips line breaks and spare bits.
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != token || len(raw) == 0 || raw[0] != version {
		return ErrInvalid
	}
	bound, err := query.bytes()
	if err != nil {
		return fmt.Errorf("open page token: %w", err)
	}
	plain, err := s.aead.Open(nil, nil, raw[1:], bound)
	if err != nil {
		return ErrInvalid
	}
	if err := proto.Unmarshal(plain, place); err != nil {
		return ErrInvalid
	}
	return nil
}

// bytes tells queries apart: each part is led by its length.
func (q Query) bytes() ([]byte, error) {
	filters, err := proto.MarshalOptions{Deterministic: true}.Marshal(q.Filters)
	if err != nil {
		return nil, err
	}
	bound := []byte{version}
	for _, part := range [][]byte{[]byte(q.Method), []byte(q.Caller), filters} {
		bound = binary.AppendUvarint(bound, uint64(len(part)))
		bound = append(bound, part...)
	}
	return bound, nil
}
