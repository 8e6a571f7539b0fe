package database

import (
	"context"
	"testing"
	"time"
)

func TestAnAnswerIsRememberedForASecond(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	looks, up := 0, true
	alive := remembered(func() time.Time { return now }, func(ctx context.Context) bool {
		looks++
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > aliveTimeout {
			t.Error("a look has no bound")
		}
		return up
	})
	for _, step := range []struct {
		pass  time.Duration
		up    bool
		want  bool
		looks int
	}{
		{0, true, true, 1},
		{999 * time.Millisecond, false, true, 1},
		{time.Millisecond, false, false, 2},
		{999 * time.Millisecond, true, false, 2},
		{time.Millisecond, true, true, 3},
	} {
		now = now.Add(step.pass)
		up = step.up
		if got := alive(); got != step.want || looks != step.looks {
			t.Errorf("%v after %d looks, want %v after %d", got, looks, step.want, step.looks)
		}
	}
}
