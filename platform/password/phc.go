package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/muster-id/muster/platform/secret"
)

// Params are the costs of a hash.
type Params struct {
	// MemoryKiB is the memory, in KiB, of one hash.
	MemoryKiB uint32
	// Time is the number of passes over the memory.
	Time uint32
	// Parallelism is the number of lanes, each a goroutine.
	Parallelism uint8
}

// DefaultParams are the least that OWASP advises: 19 MiB, two passes, one lane.
// One lane, since the pool already keeps every core busy.
var DefaultParams = Params{MemoryKiB: 19 * 1024, Time: 2, Parallelism: 1}

// Bounds of a verifier. They keep a strange one, imported or made by hand, from
// taking the process's memory or minutes of a core.
const (
	maxMemoryKiB   = 256 * 1024
	maxTime        = 16
	maxParallelism = 16
	saltLength     = 16
	keyLength      = 32
	minSalt        = 8
	minKey         = 16
	maxBinary      = 64
	maxVerifier    = 256
)

// ErrVerifier means that the text is not an Argon2id verifier within bounds.
var ErrVerifier = errors.New("not an Argon2id verifier within bounds")

// Validate tells whether the costs are within bounds.
func (p Params) Validate() error {
	switch {
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("argon2 parallelism has to be 1 to %d", maxParallelism)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("argon2 memory has to be %d to %d KiB", 8*uint32(p.Parallelism), maxMemoryKiB)
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("argon2 time has to be 1 to %d passes", maxTime)
	}
	return nil
}

// verifier is a parsed PHC string.
type verifier struct {
	params Params
	salt   []byte
	key    []byte
}

// encode writes the PHC string.
func (v verifier) encode() secret.String {
	return secret.New(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, v.params.MemoryKiB, v.params.Time, v.params.Parallelism,
		base64.RawStdEncoding.EncodeToString(v.salt), base64.RawStdEncoding.EncodeToString(v.key)))
}

// decode reads a PHC string strictly: one spelling for each verifier. Its error
// never holds a part of it.
func decode(phc secret.String) (verifier, error) {
	if len(phc.Reveal()) > maxVerifier {
		return verifier{}, ErrVerifier
	}
	parts := strings.Split(phc.Reveal(), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return verifier{}, ErrVerifier
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return verifier{}, ErrVerifier
	}
	memory, okMemory := cost(costs[0], "m=", 32)
	passes, okTime := cost(costs[1], "t=", 32)
	lanes, okLanes := cost(costs[2], "p=", 8)
	if !okMemory || !okTime || !okLanes {
		return verifier{}, ErrVerifier
	}
	v := verifier{params: Params{MemoryKiB: uint32(memory), Time: uint32(passes), Parallelism: uint8(lanes)}} //nolint:gosec // cost has bounded them
	if v.params.Validate() != nil {
		return verifier{}, ErrVerifier
	}
	var err error
	if v.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil {
		return verifier{}, ErrVerifier
	}
	if v.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil {
		return verifier{}, ErrVerifier
	}
	if len(v.salt) < minSalt || len(v.salt) > maxBinary || len(v.key) < minKey || len(v.key) > maxBinary {
		return verifier{}, ErrVerifier
	}
	// Base64 skips line breaks and numbers may be padded, so ask for the one spelling.
	if !v.encode().Equal(phc) {
		return verifier{}, ErrVerifier
	}
	return v, nil
}

func cost(text, name string, bits int) (uint64, bool) {
	digits, found := strings.CutPrefix(text, name)
	value, err := strconv.ParseUint(digits, 10, bits)
	return value, found && err == nil
}
