package secret

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// KeySize is the length, in bytes, of a key that ParseKey reads.
const KeySize = 32

// ErrKey means that a text is not KeySize bytes in base64 or hexadecimal.
var ErrKey = errors.New("it has to be 32 bytes in base64 or hexadecimal")

// ParseKey reads a key of KeySize bytes in hexadecimal or in base64 (RFC 4648,
// either alphabet, with or without padding), or fails with ErrKey. Spaces around
// it are left out.
func ParseKey(text String) (Bytes, error) {
	trimmed := strings.TrimSpace(text.Reveal())
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString,
		base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString,
		base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(trimmed); err == nil && len(key) == KeySize {
			return NewBytes(key), nil
		}
	}
	return Bytes{}, ErrKey // the decoders' errors quote what they read
}
