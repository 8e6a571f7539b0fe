package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/muster-id/muster/platform/admission"
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
type OverloadedError = admission.OverloadedError

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
	line   *admission.Line
	memory int64
	budget *semaphore.Weighted
	wait   time.Duration

	running sync.WaitGroup
	made    atomic.Uint64
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
		wait:   config.Wait,
		line:   admission.New(admission.Config{Places: config.Workers, Waiters: config.Queue, AtLeast: time.Second}),
		memory: config.Memory,
		budget: semaphore.NewWeighted(config.Memory),
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
		defer p.line.Leave()
		defer p.budget.Release(plan.memory)
		began := time.Now()
		avatar, err := render(ctx, plan)
		if ctx.Err() == nil {
			p.line.Took(time.Since(began))
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
	line := p.line.Stats()
	return Stats{Made: p.made.Load(), Refused: line.Refused, Waiting: line.Waiting}
}

// turn waits for a place and for memory: until the caller gives up, or for so
// long that it had better come back.
func (p *Pool) turn(ctx context.Context, memory int64) error {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	err := p.line.Enter(waiting)
	if err == nil {
		// First come, first served, so that a large one is not passed over for ever.
		if err = p.budget.Acquire(waiting, memory); err != nil {
			p.line.Leave()
		}
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return p.line.Refuse()
	}
	return err
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
