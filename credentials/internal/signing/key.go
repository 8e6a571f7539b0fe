package signing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/secret"
)

// Algorithm of all keys, as a JWS header names it (RFC 8037).
const Algorithm = "EdDSA"

// ErrSealed means that a private key does not open: the key-encryption key is
// another one, or the row was changed.
var ErrSealed = errors.New("signing key does not open under the key-encryption key")

// Key is a signing key as it is stored.
type Key struct {
	// ID is the `kid` of tokens.
	ID string
	// Public half.
	Public ed25519.PublicKey
	// SealedPrivate is the private half's seed, sealed.
	SealedPrivate []byte
	// CreatedAt is when it was made.
	CreatedAt time.Time
}

// Sealer seals private keys with AES-256-GCM.
type Sealer struct {
	// aead is a function, so that no print of the struct shows the key in it.
	aead func() cipher.AEAD
}

// NewSealer takes a key of 32 bytes.
func NewSealer(key secret.Bytes) (Sealer, error) {
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return Sealer{}, fmt.Errorf("seal signing keys: %w", err)
	}
	// Its nonces are random: far fewer keys are ever made than would repeat one.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Sealer{}, fmt.Errorf("seal signing keys: %w", err)
	}
	return Sealer{func() cipher.AEAD { return aead }}, nil
}

// Generate makes a key.
func (s Sealer) Generate(now time.Time) (Key, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Key{}, fmt.Errorf("generate signing key: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("generate signing key: %w", err)
	}
	key := Key{ID: id.String(), Public: public, CreatedAt: now}
	key.SealedPrivate = s.aead().Seal(nil, nil, private.Seed(), place(key.ID))
	return key, nil
}

// open gives the private half, or ErrSealed.
func (s Sealer) open(key Key) (ed25519.PrivateKey, error) {
	seed, err := s.aead().Open(nil, nil, key.SealedPrivate, place(key.ID))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: %s", ErrSealed, key.ID)
	}
	private := ed25519.NewKeyFromSeed(seed)
	// Tokens signed with a half that does not fit the published one would be refused everywhere.
	if public, ok := private.Public().(ed25519.PublicKey); !ok || !bytes.Equal(public, key.Public) {
		return nil, fmt.Errorf("%w: %s", ErrSealed, key.ID)
	}
	return private, nil
}

// place binds a sealed key to its row.
func place(id string) []byte { return []byte("muster credentials signing key " + id) }
