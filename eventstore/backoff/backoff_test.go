package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesGrowToTheLongestAndNotBeyond(t *testing.T) {
	t.Parallel()
	for range 20 { // they differ by chance
		var b Backoff
		if pause := b.Next(); pause < first*3/4 || pause > first*5/4 {
			t.Fatalf("the first pause is %v", pause)
		}
		for i := range 100 {
			if pause := b.Next(); pause > Longest || i > 5 && pause < Longest/2 {
				t.Fatalf("pause %d is %v", i+2, pause)
			}
		}
		b.Reset()
		if pause := b.Next(); pause > first*5/4 {
			t.Fatalf("after a reset %v", pause)
		}
	}
}

func TestOnlyWhatWorkedForAWhileBeginsAfresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b Backoff
		for range 10 {
			began := time.Now()
			if err := b.Pause(t.Context()); err != nil || time.Since(began) > Longest {
				t.Fatalf("paused %v, %v", time.Since(began), err)
			}
		}
		b.Worked(time.Now())
		if pause := b.Next(); pause < Longest/2 {
			t.Errorf("lost at once, and tried again after %v", pause)
		}
		b.Worked(time.Now().Add(-2 * Longest))
		if pause := b.Next(); pause > first*5/4 {
			t.Errorf("lost after a while, and tried again after %v", pause)
		}
	})
}

func TestASleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
}
