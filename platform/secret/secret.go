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
type String struct{ value string }

// New wraps a text.
func New(value string) String { return String{value} }

// Reveal gives the text itself. Each call is a place to look at in a review.
func (s String) Reveal() string { return s.value }

// Empty tells whether there is no text.
func (s String) Empty() bool { return s.value == "" }

// Equal compares in constant time.
func (s String) Equal(other String) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(other.value)) == 1
}

// String redacts.
func (s String) String() string { return redact(s.value == "") }

// GoString redacts.
func (s String) GoString() string { return redact(s.value == "") }

// LogValue redacts.
func (s String) LogValue() slog.Value { return slog.StringValue(redact(s.value == "")) }

// MarshalText redacts, in JSON too.
func (s String) MarshalText() ([]byte, error) { return []byte(redact(s.value == "")), nil }

// UnmarshalText reads the text itself, for configuration.
func (s *String) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}

// Bytes is a secret key.
type Bytes struct{ value []byte }

// NewBytes wraps a key; it is not copied.
func NewBytes(value []byte) Bytes { return Bytes{value} }

// Reveal gives the bytes themselves.
func (b Bytes) Reveal() []byte { return b.value }

// Empty tells whether there are none.
func (b Bytes) Empty() bool { return len(b.value) == 0 }

// String redacts.
func (b Bytes) String() string { return redact(len(b.value) == 0) }

// GoString redacts.
func (b Bytes) GoString() string { return redact(len(b.value) == 0) }

// LogValue redacts.
func (b Bytes) LogValue() slog.Value { return slog.StringValue(redact(len(b.value) == 0)) }

// MarshalText redacts, in JSON too.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(redact(len(b.value) == 0)), nil }

func redact(empty bool) string {
	if empty {
		return ""
	}
	return Redacted
}
