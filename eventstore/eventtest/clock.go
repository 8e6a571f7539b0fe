package eventtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore/backoff"
)

// FairClock tells how much time the machine has had for its work, so that a test
// can hold the code to a bound and not the machine. A beat is a pause and a plain
// question to the server that the code asks too; one that takes longer than it
// should counts as one that does not. So what starves the code, its process or
// its server, starves the clock too; what makes the code wait, and not the
// server, does not.
type FairClock struct {
	mu   sync.Mutex
	fair time.Duration
}

const (
	beatPause = 5 * time.Millisecond
	beatMost  = 7 * time.Millisecond
)

// Moment is a time by the clock on the wall and by a fair clock.
type Moment struct {
	Wall time.Time
	Fair time.Duration
}

// NewFairClock makes a clock that runs until the test ends. ask is the question;
// its connection has to live as long as the test.
func NewFairClock(t *testing.T, ask func(ctx context.Context) error) *FairClock {
	t.Helper()
	clock := &FairClock{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var beating sync.WaitGroup
	beating.Go(func() {
		for before := time.Now(); backoff.Sleep(ctx, beatPause) == nil; {
			if err := ask(ctx); err != nil {
				if ctx.Err() == nil {
					t.Errorf("the fair clock stands still: %v", err)
				}
				return
			}
			after := time.Now()
			clock.mu.Lock()
			clock.fair += min(after.Sub(before), beatMost)
			clock.mu.Unlock()
			before = after
		}
	})
	t.Cleanup(func() {
		cancel()
		beating.Wait()
	})
	return clock
}

// Now reads the clock.
func (c *FairClock) Now() Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Moment{Wall: time.Now(), Fair: c.fair}
}

// Sleep waits for a time by the fair clock, or until ctx ends.
func (c *FairClock) Sleep(ctx context.Context, d time.Duration) error {
	for until := c.Now().Fair + d; c.Now().Fair < until; {
		if err := backoff.Sleep(ctx, beatPause); err != nil {
			return err
		}
	}
	return nil
}
