package admission

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func enter(t *testing.T, line *Line) {
	t.Helper()
	if err := line.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPlacesGoToThoseWhoWaitInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := New(Config{Places: 1, Waiters: 5})
		enter(t, line)
		var entered []int // who has the place writes
		for i := range 5 {
			go func() {
				if err := line.Enter(t.Context()); err != nil {
					t.Error(err)
				}
				entered = append(entered, i)
				line.Leave()
			}()
			synctest.Wait()
		}
		if got := line.Stats(); got != (Stats{Waiting: 5, Working: 1}) {
			t.Errorf("got %+v", got)
		}
		line.Leave()
		synctest.Wait()
		if !slices.Equal(entered, []int{0, 1, 2, 3, 4}) {
			t.Errorf("in the order %v", entered)
		}
		if got := line.Stats(); got != (Stats{}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPastTheLineOneIsRefusedAtOnceWithTheTimeToDrain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took          []time.Duration
		least, at, to time.Duration
	}{
		"nothing is known yet": {least: time.Second, at: time.Second, to: 1500 * time.Millisecond},
		"one sample":           {took: []time.Duration{4 * time.Second}, least: time.Second, at: 6 * time.Second, to: 9 * time.Second},
		"a mean":               {took: []time.Duration{4 * time.Second, 12 * time.Second}, at: 7500 * time.Millisecond, to: 11250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				line := New(Config{Places: 2, Waiters: 1, AtLeast: c.least})
				for _, took := range c.took {
					line.Took(took)
				}
				enter(t, line)
				enter(t, line)
				waiting, leave := context.WithCancel(t.Context())
				left := make(chan error, 1)
				go func() { left <- line.Enter(waiting) }()
				synctest.Wait()
				var refused *OverloadedError
				if err := line.Enter(t.Context()); !errors.As(err, &refused) {
					t.Fatalf("past the line: %v", err)
				}
				if refused.RetryAfter < c.at || refused.RetryAfter > c.to {
					t.Errorf("RetryAfter %s, want %s to %s", refused.RetryAfter, c.at, c.to)
				}
				leave()
				if err := <-left; !errors.Is(err, context.Canceled) {
					t.Errorf("who has left: %v", err)
				}
				if got := line.Stats(); got != (Stats{Refused: 1, Working: 2}) {
					t.Errorf("got %+v", got)
				}
				if err := line.Enter(waiting); !errors.Is(err, context.Canceled) {
					t.Errorf("who is gone already: %v", err)
				}
			})
		})
	}
}
