package picture

import (
	"context"
	"errors"
	"image"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// planned is a picture whose decoding does as it is told.
func planned(memory int64, decode func(context.Context) (image.Image, error)) plan {
	return plan{width: 48, height: 32, orientation: upright, memory: memory, decode: decode}
}

// held is a picture whose decoding tells that it has begun and lasts until it
// is released.
func held(memory int64) (plan plan, begun <-chan struct{}, release func()) {
	started, end := make(chan struct{}), make(chan struct{})
	return planned(memory, func(context.Context) (image.Image, error) {
		close(started)
		<-end
		return sample(), nil
	}), started, sync.OnceFunc(func() { close(end) })
}

// begin carries a plan out in a goroutine of its own.
func begin(ctx context.Context, pool *Pool, plan plan) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := pool.carryOut(ctx, plan)
		ended <- err
	}()
	return ended
}

// eventually waits until a pool's counters say so.
func eventually(t *testing.T, pool *Pool, reached func(Stats) bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	patience := time.After(20 * time.Second)
	for !reached(pool.Stats()) {
		select {
		case <-tick.C:
		case <-patience:
			t.Fatalf("never so: %+v", pool.Stats())
		}
	}
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	t.Parallel()
	pool := New(Config{Workers: 1, Queue: 1, Wait: time.Minute})
	first, begun, release := held(1)
	defer release()
	running := begin(t.Context(), pool, first)
	<-begun
	waiting := begin(t.Context(), pool, planned(1, func(context.Context) (image.Image, error) { return sample(), nil }))
	eventually(t, pool, func(s Stats) bool { return s.Waiting == 1 })

	_, err := pool.Avatar(t.Context(), asPNG(t, sample()))
	var overloaded *OverloadedError
	if !errors.As(err, &overloaded) || overloaded.RetryAfter <= 0 {
		t.Fatalf("got %v", err)
	}
	release()
	for _, ended := range []<-chan error{running, waiting} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := pool.Stats(); got != (Stats{Made: 2, Refused: 1}) {
		t.Errorf("got %+v", got)
	}
}

// The gateway gives up after a while, so whoever waits longer is told to come
// back instead, and is not counted as waiting any more.
func TestWhoWaitsTooLongIsToldToComeBack(t *testing.T) {
	t.Parallel()
	for name, memory := range map[string]int64{"for a place": 1, "for memory": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := New(Config{Workers: int(memory), Memory: 2, Wait: time.Minute})
			first, begun, release := held(memory)
			defer release()
			running := begin(t.Context(), pool, first)
			<-begun
			pool.wait = time.Millisecond // for those who come now
			var overloaded *OverloadedError
			if err := <-begin(t.Context(), pool, planned(1, nil)); !errors.As(err, &overloaded) || overloaded.RetryAfter <= 0 {
				t.Errorf("got %v", err)
			}
			release()
			if err := <-running; err != nil {
				t.Error(err)
			}
			if got := pool.Stats(); got != (Stats{Made: 1, Refused: 1}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAContextThatEndsFreesTheCaller(t *testing.T) {
	t.Parallel()
	pool := New(Config{Workers: 1, Wait: time.Minute})
	first, begun, release := held(1)
	ctx, cancel := context.WithCancel(t.Context())
	running := begin(ctx, pool, first)
	<-begun
	waiting := begin(ctx, pool, planned(1, nil))
	eventually(t, pool, func(s Stats) bool { return s.Waiting == 1 })
	cancel()
	for name, ended := range map[string]<-chan error{"decoding": running, "waiting": waiting} {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The place of what is still being decoded is not free yet.
	if pool.line.Stats().Working != 1 {
		t.Error("the worker was given away while it decodes")
	}
	release()
	pool.Wait()
	if _, err := pool.Avatar(t.Context(), asPNG(t, sample())); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := pool.Avatar(ctx, asPNG(t, sample())); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestADecoderStopsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, raw := range wholes(t) {
		plan, err := inspect(raw)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := plan.decode(ctx); err == nil { // not every decoder wraps its reader's error
			t.Errorf("%s: decoded all the same", name)
		}
	}
}

func TestDecodingsShareOneBoundedMemory(t *testing.T) {
	t.Parallel()
	const memory, workers = 100, 8
	pool := New(Config{Workers: workers, Queue: 1000, Memory: memory, Wait: time.Minute})
	var inUse, most atomic.Int64
	var all []<-chan error
	for i := range 200 {
		weight := []int64{10, 35, 60, 100}[i%4]
		all = append(all, begin(t.Context(), pool, planned(weight, func(context.Context) (image.Image, error) {
			now := inUse.Add(weight)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			defer inUse.Add(-weight)
			return sample(), nil
		})))
	}
	for _, ended := range all {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > memory {
		t.Errorf("%d of %d were in use", most.Load(), memory)
	}
}

func TestThePoolTakesTheWorstPictureThatIsAllowed(t *testing.T) {
	t.Parallel()
	pool := New(Config{})
	cmyk := []byte{'C', 0x11, 0, 'M', 0x11, 0, 'Y', 0x11, 0, 'K', 0x11, 0}
	for _, size := range [][2]int{{5000, 5000}, {20000, 1250}, {1250, 20000}} {
		worst := max(
			jpegMemory(size[0], size[1], cmyk, true, true),
			webpStill{width: size[0], height: size[1], kind: "VP8 ", alpha: make([]byte, maxBytes)}.memory(),
		) + working + maxBytes
		if worst > pool.memory {
			t.Errorf("%v: %d bytes, more than %d", size, worst, pool.memory)
		}
	}
	small := New(Config{Memory: 1 << 20})
	if _, err := small.Avatar(t.Context(), asPNG(t, sample())); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than the pool's memory: %v", err)
	}
}

func TestAPanicOfADecoderIsNoPicture(t *testing.T) {
	t.Parallel()
	pool := New(Config{Workers: 1, Wait: time.Minute})
	for range 2 { // a worker that was lost would block the second
		_, err := pool.carryOut(t.Context(), planned(1, func(context.Context) (image.Image, error) { panic("out of range") }))
		if !errors.Is(err, ErrNotAPicture) {
			t.Errorf("got %v", err)
		}
	}
}
