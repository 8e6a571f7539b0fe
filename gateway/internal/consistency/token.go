package consistency

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/secret"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// ErrInvalid is answered for a token that this gateway's key did not sign.
var ErrInvalid = errors.New("consistency: token not valid")

// MinKeyBytes is the least length of the key.
const MinKeyBytes = 32

const (
	// version leads each token, so that its shape can change while old tokens
	// are still on their way.
	version byte = 1
	// purpose keeps a signature of this key for anything else from being a token.
	purpose = "muster consistency token"
)

// Signer signs and verifies tokens. All gateways of one installation share its
// key. It is safe for concurrent use.
type Signer struct{ key secret.Bytes }

// NewSigner takes the key; one shorter than MinKeyBytes is refused.
func NewSigner(key secret.Bytes) (*Signer, error) {
	if len(key.Reveal()) < MinKeyBytes {
		return nil, fmt.Errorf("consistency: the key has fewer than %d bytes", MinKeyBytes)
	}
	return &Signer{key: key}, nil
}

// Sign makes the token of a position: URL-safe text of about 140 characters;
// empty for no position.
func (s *Signer) Sign(position *eventlogv1.Position) (string, error) {
	if position == nil {
		return "", nil
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("sign consistency token: %w", err)
	}
	signed := append([]byte{version}, payload...)
	return base64.RawURLEncoding.EncodeToString(append(signed, s.mac(signed)...)), nil
}

// Parse gives the position of a token; nil for the empty token; ErrInvalid for
// one that was cut, changed, or signed with another key.
func (s *Signer) Parse(token string) (*eventlogv1.Position, error) {
	if token == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	// One token has one spelling; the decoder alone skips line breaks and spare bits.
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != token || len(raw) < 1+sha256.Size {
		return nil, ErrInvalid
	}
	signed, mac := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	// The signature comes first: nothing that we did not write ourselves is read.
	if !hmac.Equal(mac, s.mac(signed)) || signed[0] != version {
		return nil, ErrInvalid
	}
	position := &eventlogv1.Position{}
	if err := proto.Unmarshal(signed[1:], position); err != nil {
		return nil, ErrInvalid
	}
	return position, nil
}

// mac covers the version too.
func (s *Signer) mac(signed []byte) []byte {
	h := hmac.New(sha256.New, s.key.Reveal())
	_, _ = h.Write([]byte(purpose)) // a hash never fails
	_, _ = h.Write(signed)
	return h.Sum(nil)
}
