package projection

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// backoff spaces out what is tried again. The zero value is ready.
type backoff struct {
	next time.Duration
}

// pause waits twice as long as the last time, within bounds, less up to half
// of it by chance, so that those who failed together do not return together.
// It tells whether to go on: not when ctx has ended.
func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(2*b.next, firstPause), longestPause)
	return sleep(ctx, b.next-rand.N(b.next/2))
}

// reset begins with the shortest pause again.
func (b *backoff) reset() { b.next = 0 }

// sleep tells whether it slept; not to the end when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
