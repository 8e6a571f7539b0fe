// Package secret holds values that must not be seen: whichever way one is
// printed, logged or marshalled, it shows only that it is there.
package secret

import (
	"crypto/subtle"
	"log/slog"
)

// Redacted is what a secret looks like.
const Redacted = "[redacted]"

// String is a secret text: a password, a token, a URL with a password in it.
// Compare two with Equal; == does not compile.
type String struct {
	_ [0]func() // == would compare the pointers
	// value is a pointer, since fmt follows none inside a struct, and calls no
	// methods of a field that is not exported.
	value *string
}

// New wraps a text.
func New(value string) String { return String{value: &value} }

// Reveal gives the text itself. Each call is a place to look at in a review.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty tells whether there is no text.
func (s String) Empty() bool { return s.Reveal() == "" }

// Equal compares in constant time.
func (s String) Equal(other String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String redacts.
func (s String) String() string { return redact(s.Empty()) }

// GoString redacts.
func (s String) GoString() string { return redact(s.Empty()) }

// LogValue redacts.
func (s String) LogValue() slog.Value { return slog.StringValue(redact(s.Empty())) }

// MarshalText redacts, in JSON too.
func (s String) MarshalText() ([]byte, error) { return []byte(redact(s.Empty())), nil }

// UnmarshalText reads the text itself, for configuration.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}

// Bytes is a secret key.
type Bytes struct {
	// reveal is a function for the reason that String has a pointer: fmt does
	// follow one to a slice, when the verb is wrong.
	reveal func() []byte
}

// NewBytes wraps a key; it is not copied.
func NewBytes(value []byte) Bytes { return Bytes{func() []byte { return value }} }

// Reveal gives the bytes themselves.
func (b Bytes) Reveal() []byte {
	if b.reveal == nil {
		return nil
	}
	return b.reveal()
}

// Empty tells whether there are none.
func (b Bytes) Empty() bool { return len(b.Reveal()) == 0 }

// String redacts.
func (b Bytes) String() string { return redact(b.Empty()) }

// GoString redacts.
func (b Bytes) GoString() string { return redact(b.Empty()) }

// LogValue redacts.
func (b Bytes) LogValue() slog.Value { return slog.StringValue(redact(b.Empty())) }

// MarshalText redacts, in JSON too.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(redact(b.Empty())), nil }

func redact(empty bool) string {
	if empty {
		return ""
	}
	return Redacted
}
