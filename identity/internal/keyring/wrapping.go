package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/muster-id/muster/platform/secret"
)

// ErrWrongKeyEncryptionKey: the keyring was wrapped under another key.
var ErrWrongKeyEncryptionKey = errors.New("the keyring was wrapped under another key-encryption key")

const keySize = 32

// KeyEncryptionKey wraps the keys of the keyring.
type KeyEncryptionKey struct {
	// id tells which key wrapped a row, so that a wrong one is named as such.
	id string
	// aead is a function, so that no print of the struct shows the key in it.
	aead func() cipher.AEAD
}

// ParseKeyEncryptionKey reads a key as secret.ParseKey does.
func ParseKeyEncryptionKey(text secret.String) (KeyEncryptionKey, error) {
	key, err := secret.ParseKey(text)
	if err != nil {
		return KeyEncryptionKey{}, err
	}
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return KeyEncryptionKey{}, fmt.Errorf("key-encryption key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return KeyEncryptionKey{}, fmt.Errorf("key-encryption key: %w", err)
	}
	hash := sha256.Sum256(append([]byte("muster key-encryption key\x00"), key.Reveal()...))
	return KeyEncryptionKey{id: hex.EncodeToString(hash[:6]), aead: func() cipher.AEAD { return aead }}, nil
}

// purpose is what a wrapped key is for. It is bound to the key, so that no row
// can be put in the place of another.
type purpose string

const (
	forEvents       purpose = "event"
	forReservations purpose = "reservation"
	forFingerprints purpose = "fingerprint"
)

// wrap gives format byte, nonce, ciphertext and tag.
func (k KeyEncryptionKey) wrap(what purpose, id string, key []byte) []byte {
	return k.aead().Seal([]byte{wrapFormat}, nil, key, binding(what, id))
}

func (k KeyEncryptionKey) unwrap(what purpose, id, wrappedUnder string, wrapped []byte) ([]byte, error) {
	if wrappedUnder != k.id {
		return nil, fmt.Errorf("%w: %s, and %s is configured", ErrWrongKeyEncryptionKey, wrappedUnder, k.id)
	}
	if len(wrapped) == 0 || wrapped[0] != wrapFormat {
		return nil, fmt.Errorf("key %s is wrapped in an unknown format", id)
	}
	key, err := k.aead().Open(nil, nil, wrapped[1:], binding(what, id))
	if err != nil {
		return nil, fmt.Errorf("key %s does not open: its row was altered", id)
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("key %s has %d bytes, not %d", id, len(key), keySize)
	}
	return key, nil
}

// wrapFormat: AES-256-GCM with a random nonce of 96 bits in front.
const wrapFormat = 1

// binding is the associated data of a wrapped key. No purpose has a zero byte in it.
func binding(what purpose, id string) []byte { return []byte(string(what) + "\x00" + id) }
