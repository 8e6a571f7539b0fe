// Package backoff spaces out what is tried again: connections, batches, looks at
// a log that is away. All of eventstore, and who follows a log beside it, waits by
// it, and so comes back as fast.
package backoff

import (
	"context"
	"time"

	"github.com/sethvargo/go-retry"
)

// Longest bounds a pause. What was away is found again within it: a sign-in has
// to work within two seconds of that.
const Longest = 1600 * time.Millisecond

const (
	first = 100 * time.Millisecond
	// jitter, in percent, so that those who failed together do not come back
	// together.
	jitter = 25
)

// Backoff is a row of pauses, each twice as long as the one before, up to
// Longest. The zero value begins with the shortest. It is for one goroutine.
type Backoff struct{ row retry.Backoff }

// Next is the next pause.
func (b *Backoff) Next() time.Duration {
	if b.row == nil {
		b.row = retry.WithJitterPercent(jitter, retry.WithCappedDuration(Longest*100/(100+jitter), retry.NewExponential(first)))
	}
	pause, _ := b.row.Next() // never ends by itself
	return pause
}

// Pause sleeps through the next pause.
func (b *Backoff) Pause(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Reset begins with the shortest pause again.
func (b *Backoff) Reset() { b.row = nil }

// Worked resets where something has worked since then for a while. What is lost
// as soon as it is there does not begin afresh.
func (b *Backoff) Worked(since time.Time) {
	if time.Since(since) > Longest {
		b.Reset()
	}
}

// Sleep waits that long, or until ctx ends, whose error it then gives.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
