package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// queuePerWorker is the default bound of the queue: a photo takes a fifth of a
	// second, so who waits eighth waits two seconds.
	queuePerWorker = 8
	// defaultMemory lets the worst picture that is allowed be decoded, alone.
	defaultMemory = 640 << 20
	// defaultWait is less than the gateway waits for media.
	defaultWait = 4 * time.Second
	// large is what a decoding takes before its memory is given back at once.
	large = 64 << 20
	// quality of the JPEG that is made: no difference to be seen at this size.
	quality = 85
)

// Avatar is a picture that was made to be shown.
type Avatar struct {
	// JPEG is the picture, without metadata.
	JPEG []byte
	// Width and Height in pixels, 1 to 256.
	Width, Height int
}

var (
	// ErrNotAPicture says that the bytes are no JPEG, PNG, GIF or WebP picture,
	// or not the whole of one.
	ErrNotAPicture = errors.New("this is not a whole JPEG, PNG, GIF or WebP picture")
	// ErrTooLarge says that a picture has more than 5 MiB or 25 million pixels,
	// or a side of more than 20,000, or would take more memory than the pool has.
	ErrTooLarge = errors.New("the picture is too large")
)

// OverloadedError says that the queue is full: nothing was decoded.
type OverloadedError struct {
	// RetryAfter is when the queue will have drained, and a little more, at
	// random, so that all who were refused do not come back together.
	RetryAfter time.Duration
}

// Error says so.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf("the decoding of pictures is overloaded, try again in %s", e.RetryAfter)
}

// Config of a Pool; the zero value is a good one.
type Config struct {
	// Workers is how many pictures are decoded at once; as many as there are
	// cores if 0.
	Workers int
	// Queue is how many may wait; 8 for each worker if 0, none if negative.
	Queue int
	// Memory is what all decodings together may allocate, in bytes; 640 MiB if 0.
	// With less, pictures within the other limits may be ErrTooLarge.
	Memory int64
	// Wait is how long one waits for its turn before it is refused; 4 s if 0.
	Wait time.Duration
}

// Stats counts what a pool has done and has to do.
type Stats struct {
	// Made is how many avatars were made.
	Made uint64
	// Refused because the queue was full.
	Refused uint64
	// Waiting now.
	Waiting int
}

// Pool makes a bounded number of avatars at once, each in a goroutine that ends
// with it. It is safe for concurrent use. One serves the whole process.
type Pool struct {
	permits chan struct{}
	queue   int64
	memory  int64
	budget  *semaphore.Weighted
	wait    time.Duration

	running sync.WaitGroup
	waiting atomic.Int64
	made    atomic.Uint64
	refused atomic.Uint64
	// took is about how long one takes, in nanoseconds.
	took atomic.Int64
}

// New makes a pool.
func New(config Config) *Pool {
	if config.Workers <= 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case config.Queue == 0:
		config.Queue = queuePerWorker * config.Workers
	case config.Queue < 0:
		config.Queue = 0
	}
	if config.Memory <= 0 {
		config.Memory = defaultMemory
	}
	if config.Wait <= 0 {
		config.Wait = defaultWait
	}
	return &Pool{
		wait:    config.Wait,
		permits: make(chan struct{}, config.Workers),
		queue:   int64(config.Queue),
		memory:  config.Memory,
		budget:  semaphore.NewWeighted(config.Memory),
	}
}

// Avatar makes an avatar: the picture upright, on white where it is transparent,
// fitted into 256 × 256 pixels with its proportions and never enlarged. The
// avatar shares nothing with raw, which must not be changed even after a return
// with the context's error. Errors: ErrNotAPicture, ErrTooLarge,
// *OverloadedError, or the context's, at once when it ends.
func (p *Pool) Avatar(ctx context.Context, raw []byte) (Avatar, error) {
	plan, err := inspect(raw)
	if err != nil {
		return Avatar{}, fmt.Errorf("make avatar: %w", err)
	}
	if plan.memory > p.memory {
		return Avatar{}, fmt.Errorf("make avatar: %w: it may take %d MiB to decode", ErrTooLarge, plan.memory>>20)
	}
	avatar, err := p.carryOut(ctx, plan)
	if err != nil {
		return Avatar{}, fmt.Errorf("make avatar: %w", err)
	}
	return avatar, nil
}

// Wait returns when nothing is being decoded any more: that may be a second or
// two after a caller was freed by its context. It is for the end of a process,
// after the last call of Avatar.
func (p *Pool) Wait() { p.running.Wait() }

// carryOut decodes when it is the plan's turn. What has begun keeps its place
// and its memory until it ends, also when its caller has gone.
func (p *Pool) carryOut(ctx context.Context, plan plan) (Avatar, error) {
	if err := p.turn(ctx, plan.memory); err != nil {
		return Avatar{}, err
	}
	type outcome struct {
		avatar Avatar
		err    error
	}
	ended := make(chan outcome, 1)
	p.running.Go(func() {
		defer p.release()
		defer p.budget.Release(plan.memory)
		began := time.Now()
		avatar, err := render(ctx, plan)
		if ctx.Err() == nil {
			p.measured(time.Since(began))
		}
		if plan.memory >= large {
			// Else what it leaves stands beside what the next one takes, until the
			// collector comes round: the budget would hold, and the process be twice as big.
			debug.FreeOSMemory()
		}
		ended <- outcome{avatar, err}
	})
	select {
	case made := <-ended:
		switch {
		case made.err == nil:
			p.made.Add(1)
		case ctx.Err() != nil:
			return Avatar{}, ctx.Err() // that is why
		}
		return made.avatar, made.err
	case <-ctx.Done():
		return Avatar{}, ctx.Err()
	}
}

// Stats tells what the pool has done so far.
func (p *Pool) Stats() Stats {
	return Stats{Made: p.made.Load(), Refused: p.refused.Load(), Waiting: int(p.waiting.Load())}
}

// turn waits for a place and for memory: until the caller gives up, or for so
// long that it had better come back.
func (p *Pool) turn(ctx context.Context, memory int64) error {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	err := p.acquire(waiting)
	if err == nil {
		// First come, first served, so that a large one is not passed over for ever.
		if err = p.budget.Acquire(waiting, memory); err != nil {
			p.release()
		}
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		p.refused.Add(1)
		return &OverloadedError{RetryAfter: p.retryAfter()}
	}
	return err
}

// acquire takes a permit, waiting in the queue if need be. A channel hands a
// freed place to the first who is blocked on it, so nobody overtakes.
func (p *Pool) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.permits <- struct{}{}:
		return nil
	default:
	}
	if waiting := p.waiting.Add(1); waiting > p.queue {
		p.waiting.Add(-1)
		p.refused.Add(1)
		return &OverloadedError{RetryAfter: p.retryAfter()}
	}
	defer p.waiting.Add(-1)
	select {
	case p.permits <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pool) release() { <-p.permits }

// retryAfter is the time in which a full queue, and what is being decoded, is done.
func (p *Pool) retryAfter() time.Duration {
	workers := int64(cap(p.permits))
	drained := max(time.Second, time.Duration((p.queue+workers)*p.took.Load()/workers))
	return drained + rand.N(drained/2+1)
}

// measured keeps a mean over the last eight or so; two that write at once lose one.
func (p *Pool) measured(took time.Duration) {
	next := took.Nanoseconds()
	if before := p.took.Load(); before > 0 {
		next = before + (next-before)/8
	}
	p.took.Store(next)
}

// render decodes what was planned and makes the avatar of it. The decoders are
// fed by strangers: whatever one of them panics about is no picture.
func render(ctx context.Context, plan plan) (avatar Avatar, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			avatar, err = Avatar{}, fmt.Errorf("%w: the decoder panicked: %v", ErrNotAPicture, panicked)
		}
	}()
	frame, err := plan.decode(ctx)
	if err != nil {
		return Avatar{}, fmt.Errorf("%w: %w", ErrNotAPicture, err)
	}
	fitted, err := fit(ctx, frame, plan)
	if err != nil {
		return Avatar{}, err
	}
	upright := plan.orientation.apply(fitted)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, upright, &jpeg.Options{Quality: quality}); err != nil {
		return Avatar{}, fmt.Errorf("encode: %w", err)
	}
	return Avatar{JPEG: out.Bytes(), Width: upright.Rect.Dx(), Height: upright.Rect.Dy()}, nil
}
