package operator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Watcher is told what is seen while somebody waits. Its methods are called one
// at a time, and each at most a few times a second.
type Watcher interface {
	// Progress tells how far the operation is. It may go back, with Again before it.
	Progress(*musterv1.Operation)
	// Again tells that the operation has started over, into another generation.
	Again(*musterv1.Operation)
	// Away tells once that the service cannot tell at present, Back that it can again.
	Away(error)
	Back()
}

// Watch waits until an operation has ended, however it ends, and gives the
// projection as it is then. A service that does not answer is asked for a
// minute, and an operation that starts over is followed. The end of ctx ends the
// waiting, not the operation: its error is that of ctx then. ErrReplaced tells
// that somebody has begun another one since.
func (p *Projection) Watch(ctx context.Context, operation *musterv1.Operation, watcher Watcher) (*musterv1.Projection, error) {
	generation := operation.GetGeneration()
	ended, err := p.await(ctx, watcher, func(seen *musterv1.Projection) (bool, error) {
		now := seen.GetOperation()
		if !same(now, operation) {
			return false, ErrReplaced
		}
		if now.GetGeneration() != generation {
			generation = now.GetGeneration()
			watcher.Again(now)
		}
		watcher.Progress(now)
		return now.GetState() != musterv1.OperationState_OPERATION_STATE_RUNNING, nil
	})
	if err != nil {
		return nil, err
	}
	// The generations that came with the end may be those of a moment before it.
	if seen, err := p.Look(ctx); err == nil && same(seen.GetOperation(), operation) {
		return seen, nil
	}
	return ended, nil
}

// GiveUp ends an operation and waits until what it has made is gone. One that
// has ended by itself meanwhile stays as it is: the projection that it gives
// tells which of the two it was. ctx and outages are as with Watch.
func (p *Projection) GiveUp(ctx context.Context, operation *musterv1.Operation, watcher Watcher) (*musterv1.Projection, error) {
	var asked int64 // to end the making of that generation
	return p.await(ctx, watcher, func(seen *musterv1.Projection) (bool, error) {
		now := seen.GetOperation()
		if !same(now, operation) {
			return false, ErrReplaced
		}
		// It may have started over since: what it makes now has to go.
		making := now.GetGeneration()
		switch now.GetState() {
		case musterv1.OperationState_OPERATION_STATE_RUNNING:
			if asked == making {
				return false, nil
			}
			if err := p.Cancel(ctx); err != nil && reason.Of(err) != musterv1.Reason_REASON_NOTHING_UNDER_WAY {
				return false, err
			}
			asked = making
			return false, nil
		case musterv1.OperationState_OPERATION_STATE_CANCELLED:
			return !slices.ContainsFunc(seen.GetGenerations(), func(g *musterv1.Generation) bool { return g.GetNumber() == making }), nil
		default:
			return true, nil
		}
	})
}

// await looks until done says so. What done fails with counts as an outage if a
// service has told it.
func (p *Projection) await(ctx context.Context, watcher Watcher, done func(*musterv1.Projection) (bool, error)) (*musterv1.Projection, error) {
	tick := time.NewTicker(p.pause)
	defer tick.Stop()
	var away time.Time // since when; zero while it answers
	for {
		seen, err := p.Look(ctx)
		var over bool
		if err == nil {
			over, err = done(seen)
		}
		switch {
		case ctx.Err() != nil && !over:
			return nil, ctx.Err()
		case err == nil && !away.IsZero():
			away = time.Time{}
			watcher.Back()
		case err == nil:
		case !passing(err):
			return nil, err
		case away.IsZero():
			away = time.Now()
			watcher.Away(err)
		case time.Since(away) > p.patience:
			return nil, fmt.Errorf("no answer for %v, what is under way may go on: %w", p.patience, err)
		}
		if over {
			return seen, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// same tells whether what a service has last is this operation. The generation
// does not count: an operation that starts over makes another one, and a number
// comes again where a database has begun anew. The time is its database's, and
// exact.
func same(seen, operation *musterv1.Operation) bool {
	return seen.GetKind() == operation.GetKind() && seen.GetStartedAt().AsTime().Equal(operation.GetStartedAt().AsTime())
}
