package teststack

import (
	"context"
	"sync"
	"testing"
	"time"
)

const (
	// patience is how long a test waits for what has to come: on a machine that
	// does ten other things too.
	patience = time.Minute
	// lookInterval is how often it looks.
	lookInterval = 20 * time.Millisecond
)

// Eventually looks again and again whether something is so, for what sends no
// signal, and fails the test after a minute. what says what should have been.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(lookInterval)
	defer again.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		case <-again.C:
		}
	}
}

// Background runs something beside the test, until stop is called or the test
// ends. The test fails if it ends with an error. stop waits for that end, and may
// be called again.
func Background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}
