package password

import (
	"errors"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/muster-id/muster/platform/secret"
)

// How long a password has to be, in characters after normalisation.
const (
	MinLength = 8
	MaxLength = 256
)

// Why a new password is refused. Match with errors.Is.
var (
	// ErrTooShort means fewer than MinLength characters.
	ErrTooShort = errors.New("password is too short")
	// ErrTooLong means more than MaxLength characters.
	ErrTooLong = errors.New("password is too long")
)

// Check tells whether a new password has the right length, counted in
// characters after the normalisation that hashing applies: ErrTooShort or
// ErrTooLong if not. Any characters will do.
func Check(password secret.String) error {
	text := normalise(password)
	defer clear(text)
	switch length := utf8.RuneCount(text); {
	case length < MinLength:
		return ErrTooShort
	case length > MaxLength:
		return ErrTooLong
	}
	return nil
}

// normalise gives the password in NFC, so that the same password typed on two
// systems, one composing accents and the other not, is the same. The caller
// clears the bytes after use.
func normalise(password secret.String) []byte {
	text := []byte(password.Reveal())
	if norm.NFC.IsNormal(text) {
		return text
	}
	normal := norm.NFC.Bytes(text)
	clear(text)
	return normal
}
