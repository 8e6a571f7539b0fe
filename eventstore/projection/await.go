package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

// What Await can be refused with, beside eventstore.ErrEpochChanged.
var (
	// ErrNotApplied: the position is not in the rows yet. It will be; ask again.
	ErrNotApplied = errors.New("the projection has not applied the position yet")
	// ErrTooManyWaiters: as many wait as may. Ask again.
	ErrTooManyWaiters = errors.New("too many wait for the projection")
	// ErrForeignLog: the projection does not follow this log.
	ErrForeignLog = errors.New("the projection follows another log")
)

const (
	// patience is how long Await waits at most.
	patience = 2 * time.Second
	// maxWaiters bounds how many wait at once.
	maxWaiters = 1000
	// watchInterval is how often waiters look for what other processes applied.
	watchInterval = 100 * time.Millisecond
)

// Await returns once the rows hold the position: at once if they do, or after
// at most two seconds, or the context's deadline, with ErrNotApplied. Other
// errors: ErrTooManyWaiters, ErrForeignLog, eventstore.ErrEpochChanged. It
// takes no locks, and waits only while Run runs.
func (p *Projector) Await(ctx context.Context, position eventstore.Position) error {
	if position.Log != p.log {
		return fmt.Errorf("await position of log %q: %w", position.Log, ErrForeignLog)
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := p.await(bounded, position)
	if err != nil && bounded.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = ErrNotApplied
	}
	if err != nil {
		return fmt.Errorf("await %s version %d: %w", position.Stream, position.Version, err)
	}
	return nil
}

func (p *Projector) await(ctx context.Context, position eventstore.Position) error {
	if err := p.reached(ctx, position); !errors.Is(err, ErrNotApplied) {
		return err
	}
	waiting, err := p.waiters.add(position)
	if err != nil {
		return err
	}
	defer p.waiters.remove(waiting)
	// It may have been applied between the look and the wait.
	if err := p.reached(ctx, position); !errors.Is(err, ErrNotApplied) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-waiting.settled:
		return err
	}
}

// reached looks whether the rows hold the position: one indexed read.
func (p *Projector) reached(ctx context.Context, position eventstore.Position) error {
	at, err := p.store.lookup(ctx, []string{position.Stream})
	if errors.Is(err, errNotRegistered) {
		return ErrNotApplied // Run is about to
	}
	if err != nil {
		return err
	}
	return judge(position, at.epoch, at.versions[position.Stream])
}

// judge compares a position with what is applied. One of a later epoch comes with
// the rebuild that the epoch has begun.
func judge(position eventstore.Position, epoch, version int64) error {
	switch {
	case position.Epoch < epoch:
		return eventstore.ErrEpochChanged
	case position.Epoch > epoch || version < position.Version:
		return ErrNotApplied
	default:
		return nil
	}
}

// watch looks for what other processes have applied, one read for all who
// wait, until ctx ends.
func (p *Projector) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.waiters.arrived:
		}
		for streams := p.waiters.streams(); len(streams) > 0; streams = p.waiters.streams() {
			// A failed read is told by who applies; here there is another in a moment.
			if at, err := p.lookupSoon(ctx, streams); err == nil {
				p.waiters.settle(at.epoch, at.versions)
			}
			if backoff.Sleep(ctx, watchInterval) != nil {
				return
			}
		}
	}
}

// lookupSoon does not wait for long: somebody waits for it.
func (p *Projector) lookupSoon(ctx context.Context, streams []string) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.store.lookup(ctx, streams)
}

// waiter waits for a position.
type waiter struct {
	position eventstore.Position
	// settled takes the outcome, once.
	settled chan error
}

// waiters are those who wait in this process.
type waiters struct {
	// arrived holds a signal after somebody began to wait.
	arrived chan struct{}

	mu       sync.Mutex
	byStream map[string][]*waiter
	count    int
}

func newWaiters() *waiters {
	return &waiters{arrived: make(chan struct{}, 1), byStream: make(map[string][]*waiter)}
}

func (w *waiters) add(position eventstore.Position) (*waiter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == maxWaiters {
		return nil, ErrTooManyWaiters
	}
	w.count++
	added := &waiter{position: position, settled: make(chan error, 1)}
	w.byStream[position.Stream] = append(w.byStream[position.Stream], added)
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	return added, nil
}

// remove takes a waiter off the list, unless it was settled before.
func (w *waiters) remove(gone *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep(gone.position.Stream, func(waiting *waiter) bool { return waiting != gone })
}

// settle wakes those whose position is in the rows, or never will be.
func (w *waiters) settle(epoch int64, versions map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return
	}
	for stream, version := range versions {
		w.keep(stream, func(waiting *waiter) bool {
			err := judge(waiting.position, epoch, version)
			if errors.Is(err, ErrNotApplied) {
				return true
			}
			waiting.settled <- err
			return false
		})
	}
}

func (w *waiters) keep(stream string, keep func(*waiter) bool) {
	before := w.byStream[stream]
	after := slices.DeleteFunc(before, func(waiting *waiter) bool { return !keep(waiting) })
	w.count -= len(before) - len(after)
	if len(after) == 0 {
		delete(w.byStream, stream)
	} else {
		w.byStream[stream] = after
	}
}

// streams that somebody waits for.
func (w *waiters) streams() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byStream))
}
