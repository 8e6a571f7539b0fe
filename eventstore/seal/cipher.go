package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/muster-id/muster/eventstore"
)

// ErrTampered: the sealed part was altered, or belongs to another event.
var ErrTampered = errors.New("sealed part does not belong to this event")

// format is the first byte of a sealed part: AES-256-GCM (NIST SP 800-38D), a
// random nonce of 96 bits, then the ciphertext, then the tag of 128 bits.
const format = 1

// purpose keeps the two sealed parts of one event apart.
type purpose string

const (
	forPayload  purpose = "payload"
	forMetadata purpose = "metadata"
)

// place is what binds a sealed part to its event: the associated data. Each part
// has its length in front, so that no two places read the same.
func place(event *eventstore.Event, what purpose) []byte {
	parts := [...]string{event.Log, string(event.ID[:]), event.Stream, event.Type, string(what)}
	size := 0
	for _, part := range parts {
		size += 4 + len(part)
	}
	data := make([]byte, 0, size)
	for _, part := range parts {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}

func lock(key Secret, plain, place []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, 1, 1+aead.Overhead()+len(plain))
	sealed[0] = format
	return aead.Seal(sealed, nil, plain, place), nil
}

func unlock(key Secret, sealed, place []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 || sealed[0] != format {
		return nil, fmt.Errorf("%w: unknown format", ErrTampered)
	}
	plain, err := aead.Open(nil, nil, sealed[1:], place)
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// newAEAD makes a cipher that puts a fresh random nonce in front of what it seals.
func newAEAD(key Secret) (cipher.AEAD, error) {
	bytes := key.Reveal()
	if len(bytes) != KeySize {
		return nil, fmt.Errorf("key has %d bytes, not %d", len(bytes), KeySize)
	}
	block, err := aes.NewCipher(bytes)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
