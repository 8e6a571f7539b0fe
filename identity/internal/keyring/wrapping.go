package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-id/muster/platform/secret"
)

var (
	// ErrKeyEncryptionKey: what is configured is not 32 bytes in base64 or hex.
	ErrKeyEncryptionKey = errors.New("the key-encryption key has to be 32 bytes in base64 or hexadecimal")
	// ErrWrongKeyEncryptionKey: the keyring was wrapped under another key.
	ErrWrongKeyEncryptionKey = errors.New("the keyring was wrapped under another key-encryption key")
)

const keySize = 32

// KeyEncryptionKey wraps the keys of the keyring.
type KeyEncryptionKey struct {
	// id tells which key wrapped a row, so that a wrong one is named as such.
	id   string
	aead cipher.AEAD
}

// ParseKeyEncryptionKey reads 32 bytes in base64 (RFC 4648, with or without
// padding, either alphabet) or in hexadecimal, or fails with ErrKeyEncryptionKey.
func ParseKeyEncryptionKey(text secret.String) (KeyEncryptionKey, error) {
	key, err := decodeKey(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return KeyEncryptionKey{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return KeyEncryptionKey{}, fmt.Errorf("key-encryption key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return KeyEncryptionKey{}, fmt.Errorf("key-encryption key: %w", err)
	}
	hash := sha256.Sum256(append([]byte("muster key-encryption key\x00"), key...))
	return KeyEncryptionKey{id: hex.EncodeToString(hash[:6]), aead: aead}, nil
}

func decodeKey(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString,
		base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString,
		base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == keySize {
			return key, nil
		}
	}
	return nil, ErrKeyEncryptionKey // decoders quote what they read
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
	return k.aead.Seal([]byte{wrapFormat}, nil, key, binding(what, id))
}

func (k KeyEncryptionKey) unwrap(what purpose, id, wrappedUnder string, wrapped []byte) ([]byte, error) {
	if wrappedUnder != k.id {
		return nil, fmt.Errorf("%w: %s, and %s is configured", ErrWrongKeyEncryptionKey, wrappedUnder, k.id)
	}
	if len(wrapped) == 0 || wrapped[0] != wrapFormat {
		return nil, fmt.Errorf("key %s is wrapped in an unknown format", id)
	}
	key, err := k.aead.Open(nil, nil, wrapped[1:], binding(what, id))
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
