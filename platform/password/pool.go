package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/muster-id/muster/platform/admission"
	"github.com/muster-id/muster/platform/secret"
)

// queuePerWorker is the default bound of the queue. Who waits eighth waits some
// eight hashes, half a second where a hash takes 50 ms: long enough to ride out
// a burst, short enough that nobody's client has given up on an answer that is
// still being computed.
const queuePerWorker = 8

// OverloadedError says that the queue is full: nothing was hashed.
type OverloadedError = admission.OverloadedError

// Stats counts what a pool has done and has to do.
type Stats struct {
	// Hashes computed so far, the pool's first included.
	Hashes uint64
	// Refused because the queue was full.
	Refused uint64
	// Waiting now.
	Waiting int
	// Running now.
	Running int
	// Took is the time that all hashes together have taken.
	Took time.Duration
}

// Pool computes a bounded number of hashes at once. It is safe for concurrent
// use and owns no goroutine. One serves the whole process.
//
// Each hash allocates its memory anew: golang.org/x/crypto/argon2 takes no
// buffer. The bound on hashes at once is therefore also what bounds the memory.
type Pool struct {
	params Params
	line   *admission.Line
	// unknown is the verifier of a password that nobody knows, at the same cost
	// as a real one.
	unknown verifier
	derive  func(password, salt []byte, params Params, length int) []byte

	hashes atomic.Uint64
	// total is the time that all hashes have taken, in nanoseconds.
	total atomic.Int64

	room  sync.Mutex
	users int // that want room
}

// NewPool makes a pool that hashes with the given costs, which Params.Validate
// has accepted: at most workers at once (0 for one for each core), and at most
// queue waiting (0 for eight for each worker). It computes one hash, to know
// how long one takes.
func NewPool(params Params, workers, queue int) *Pool {
	return newPool(params, workers, queue, argon2id)
}

func newPool(params Params, workers, queue int, derive func([]byte, []byte, Params, int) []byte) *Pool {
	if workers <= 0 {
		// Go's bound follows a container's share of the machine; above the number
		// of cores it is the room that another pool has made.
		workers = min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	if queue <= 0 {
		queue = queuePerWorker * workers
	}
	p := &Pool{params: params, line: admission.New(admission.Config{Places: workers, Waiters: queue}), derive: derive}
	p.unknown = verifier{params: params, salt: random(saltLength)}
	p.unknown.key = p.measure(random(keyLength), p.unknown.salt, params, keyLength)
	return p
}

// Hash makes a verifier for a new password, a PHC string with a salt of its
// own. Errors: *OverloadedError, or the context's.
func (p *Pool) Hash(ctx context.Context, password secret.String) (secret.String, error) {
	if err := p.line.Enter(ctx); err != nil {
		return secret.String{}, fmt.Errorf("hash password: %w", err)
	}
	defer p.line.Leave()
	v := verifier{params: p.params, salt: random(saltLength), key: make([]byte, keyLength)}
	v.key = p.compute(password, v)
	return v.encode(), nil
}

// Verify tells whether a password is the one that a verifier was made from. A
// wrong one for a verifier of other costs is hashed with the pool's costs too: no
// account answers sooner than VerifyUnknown, whatever its costs were. Errors:
// ErrVerifier, *OverloadedError, or the context's.
func (p *Pool) Verify(ctx context.Context, phc, password secret.String) (bool, error) {
	v, err := decode(phc)
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	if err := p.line.Enter(ctx); err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	defer p.line.Leave()
	right := subtle.ConstantTimeCompare(p.compute(password, v), v.key) == 1
	if !right && v.params != p.params {
		p.compute(password, p.unknown)
	}
	return right, nil
}

// VerifyUnknown does the work of Verify for a login name that nobody has, so
// that the time of the answer does not tell who has an account. Errors:
// *OverloadedError, or the context's.
func (p *Pool) VerifyUnknown(ctx context.Context, password secret.String) error {
	if err := p.line.Enter(ctx); err != nil {
		return fmt.Errorf("verify password: %w", err)
	}
	defer p.line.Leave()
	_ = subtle.ConstantTimeCompare(p.compute(password, p.unknown), p.unknown.key)
	return nil
}

// Outdated tells whether a verifier was made with other costs than the pool's,
// or is none, and should be made again when the password is at hand.
func (p *Pool) Outdated(phc secret.String) bool {
	v, err := decode(phc)
	return err != nil || v.params != p.params || len(v.key) != keyLength
}

// MakeRoom gives Go's scheduler as many more threads as the pool has workers,
// until release is called. Go takes a hash off its core only every 10 ms, so
// with a worker on every core each step of any other call waits that long; with
// threads to spare the operating system switches at once: with two cores full of
// hashes, the median of a small HTTP call went from 23 ms to 0.1
// (BenchmarkOtherCalls). Services that share a pool may each call it.
func (p *Pool) MakeRoom() (release func()) {
	p.widen(1)
	return func() { p.widen(-1) }
}

func (p *Pool) widen(user int) {
	p.room.Lock()
	defer p.room.Unlock()
	before := p.users > 0
	p.users += user
	switch after := p.users > 0; {
	case after && !before:
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + p.line.Places())
	case before && !after:
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - p.line.Places())
	}
}

// Stats tells what the pool has done so far.
func (p *Pool) Stats() Stats {
	line := p.line.Stats()
	return Stats{
		Hashes: p.hashes.Load(), Refused: line.Refused, Waiting: line.Waiting,
		Running: line.Working, Took: time.Duration(p.total.Load()),
	}
}

// Metrics gives what the pool does, for package metrics. Services that share a
// pool all show the same.
func (p *Pool) Metrics(emit func(name, help string, value float64, labels ...string)) {
	stats := p.Stats()
	emit("muster_password_hashes_total", "Password hashes computed by this process.", float64(stats.Hashes))
	emit("muster_password_hash_seconds_total", "Time that all password hashes have taken; divided by muster_password_hashes_total, that of one.", stats.Took.Seconds())
	emit("muster_password_refused_total", "Calls refused because too many waited for a hash already.", float64(stats.Refused))
	emit("muster_password_queued", "Calls that wait for a hash now.", float64(stats.Waiting))
	emit("muster_password_running", "Hashes that are being computed now.", float64(stats.Running))
}

// compute hashes with the costs, the salt and the length of key of a verifier.
// Who calls it has a place.
func (p *Pool) compute(password secret.String, v verifier) []byte {
	text := normalise(password)
	defer clear(text)
	return p.measure(text, v.salt, v.params, len(v.key))
}

func (p *Pool) measure(password, salt []byte, params Params, length int) []byte {
	began := time.Now()
	key := p.derive(password, salt, params, length)
	took := time.Since(began)
	p.line.Took(took)
	p.total.Add(took.Nanoseconds())
	p.hashes.Add(1)
	return key
}

func argon2id(password, salt []byte, params Params, length int) []byte {
	return argon2.IDKey(password, salt, params.Time, params.MemoryKiB, params.Parallelism, uint32(length)) //nolint:gosec // at most 64
}

func random(length int) []byte {
	bytes := make([]byte, length)
	_, _ = rand.Read(bytes) // never fails
	return bytes
}
