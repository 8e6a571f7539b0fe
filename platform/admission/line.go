package admission

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// OverloadedError says that the line is full: nothing was done.
type OverloadedError struct {
	// RetryAfter is when the line will have drained, and a little more, at random,
	// so that all who were refused do not come back together.
	RetryAfter time.Duration
}

// Error says so.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf("overloaded, try again in %s", e.RetryAfter)
}

// Config of a Line.
type Config struct {
	// Places is how many may work at once; at least 1.
	Places int
	// Waiters is how many may wait for a place.
	Waiters int
	// AtLeast is the shortest RetryAfter, but for what chance adds.
	AtLeast time.Duration
}

// Stats counts what has come to a line.
type Stats struct {
	// Refused since the line was full.
	Refused uint64
	// Waiting now.
	Waiting int
	// Working now.
	Working int
}

// Line gives out a bounded number of places, and has a bounded number wait for
// one, in order. It is safe for concurrent use and owns no goroutine.
type Line struct {
	places  chan struct{}
	waiters int64
	atLeast time.Duration

	waiting atomic.Int64
	refused atomic.Uint64
	// took is about how long a place is worked at, in nanoseconds.
	took atomic.Int64
}

// New makes a line.
func New(config Config) *Line {
	return &Line{
		places: make(chan struct{}, config.Places), waiters: int64(config.Waiters), atLeast: config.AtLeast,
	}
}

// Enter takes a place, waiting in line if need be; Leave gives it back. A channel
// hands a freed place to the first who is blocked on it, so a newcomer's quick
// try never overtakes. Errors: *OverloadedError, or the context's.
func (l *Line) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.waiters {
		return l.Refuse()
	}
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave gives a place back.
func (l *Line) Leave() { <-l.places }

// Refuse counts one who is sent away, and is the error for it: for callers that
// bound the wait as well, or what else a place needs.
func (l *Line) Refuse() *OverloadedError {
	l.refused.Add(1)
	// The time in which a full line, and what is being worked at, is done.
	places := int64(cap(l.places))
	drained := max(l.atLeast, time.Duration((l.waiters+places)*l.took.Load()/places))
	return &OverloadedError{RetryAfter: drained + rand.N(drained/2+1)}
}

// Took notes how long work at a place took: RetryAfter goes by a mean over the
// last eight or so. Two that write at once lose one.
func (l *Line) Took(took time.Duration) {
	next := took.Nanoseconds()
	if before := l.took.Load(); before > 0 {
		next = before + (next-before)/8
	}
	l.took.Store(next)
}

// Places is how many may work at once.
func (l *Line) Places() int { return cap(l.places) }

// Stats tells how many there are.
func (l *Line) Stats() Stats {
	return Stats{Refused: l.refused.Load(), Waiting: int(l.waiting.Load()), Working: len(l.places)}
}
