package seal

import (
	"context"
	"log/slog"
)

// KeySize is the length of a key in bytes: AES-256.
const KeySize = 32

// State says what became of a key.
type State int

const (
	// Unknown: the keyring has never heard of the key. A fault, not a tombstone.
	Unknown State = iota
	// Alive: the key is here.
	Alive
	// Destroyed: what the key sealed is erased.
	Destroyed
)

// Key is a key and its state.
type Key struct {
	// ID is a UUID.
	ID string
	// State of the key.
	State State
	// Bytes are the KeySize bytes of the key; empty unless alive.
	Bytes Secret
}

// Keys tells keys.
type Keys interface {
	// Get answers for every id that was asked for.
	Get(ctx context.Context, ids []string) (map[string]Key, error)
}

// Maker makes keys.
type Maker interface {
	// Make makes n keys and stores them before it returns.
	Make(ctx context.Context, n int) ([]Key, error)
}

// Destroyer destroys keys.
type Destroyer interface {
	// Destroy destroys keys for good. Destroying one again changes nothing, so
	// that whoever was interrupted may begin anew.
	Destroy(ctx context.Context, ids []string) error
}

// Secret is the bytes of a key. Printed, logged or marshalled, it shows only
// that it is there.
type Secret struct {
	// reveal is a function, since fmt calls no methods on what lies in an
	// unexported field. It would follow a pointer there, for some verbs.
	reveal func() []byte
}

// NewSecret wraps the bytes of a key; they are not copied.
func NewSecret(value []byte) Secret { return Secret{func() []byte { return value }} }

// Reveal gives the bytes themselves.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// String redacts.
func (s Secret) String() string { return "[redacted]" }

// GoString redacts.
func (s Secret) GoString() string { return "[redacted]" }

// LogValue redacts.
func (s Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText redacts, in JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
