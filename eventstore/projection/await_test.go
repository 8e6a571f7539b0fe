package projection

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
)

func TestAwaitOfWhatIsAppliedNeedsNoProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	b.log.append("user-1", counted)
	p, stop := b.start(t)
	ready(t, p)
	stop()
	p = b.projector() // never runs
	position := b.log.position("user-1")
	for _, version := range []int64{2, 1} {
		position.Version = version
		if err := p.Await(t.Context(), position); err != nil {
			t.Errorf("version %d of 2: %v", version, err)
		}
	}
	if p.waiters.count != 0 {
		t.Errorf("%d wait for what is applied", p.waiters.count)
	}
}

func TestAwaitIsWokenByTheCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.projector()
	if err := p.store.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	at, _, ok := p.begin(t.Context())
	if !ok {
		t.Fatal("not begun")
	}
	f := &follower{Projector: p, incarnation: at.incarnation, queue: make(chan work, batchLimit), caughtUp: make(chan struct{})}
	// Only the apply loop runs: nobody looks for what other processes applied.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.applyAll(ctx)
	}()
	defer func() { cancel(); <-ended }()
	waited := make(chan error, 1)
	go func() {
		waited <- p.Await(ctx, eventstore.Position{Log: "test", Epoch: 1, Stream: "user-1", Version: 1})
	}()
	<-p.waiters.arrived
	b.log.append("user-1", counted)
	page, err := b.log.ReadLog(ctx, "", batchLimit, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.submitPage(ctx, page); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestAwaitSeesWhatAnotherProcessApplied(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other, _ := b.start(t)
	ready(t, other)
	away := *b
	away.log = newFakeLog()
	away.log.away = errors.New("no route to the log")
	p, _ := away.start(t)
	waited := make(chan error, 1)
	go func() {
		waited <- p.Await(t.Context(), eventstore.Position{Log: "test", Epoch: 1, Stream: "user-1", Version: 1})
	}()
	b.log.append("user-1", counted)
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestAwaitGivesUpAfterTwoSecondsOrTheDeadline(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)
	position := eventstore.Position{Log: "test", Epoch: 1, Stream: "user-1", Version: 2}

	began := time.Now()
	if err := p.Await(t.Context(), position); !errors.Is(err, ErrNotApplied) {
		t.Errorf("after two seconds: %v", err)
	}
	if took := time.Since(began); took < patience || took > 2*patience {
		t.Errorf("waited %v", took)
	}

	began = time.Now()
	deadline, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Await(deadline, position); !errors.Is(err, ErrNotApplied) {
		t.Errorf("after the deadline: %v", err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("waited %v beyond the deadline", took)
	}

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Await(cancelled, position); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller went away: %v", err)
	}
	if p.waiters.count != 0 || len(p.waiters.byStream) != 0 {
		t.Errorf("%d still wait", p.waiters.count)
	}
}

func TestAwaitRefusesMoreThanMayWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	p, stop := b.start(t)
	ready(t, p)
	stop()
	position := b.log.position("user-1")
	position.Version++
	for range maxWaiters {
		if _, err := p.waiters.add(position); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Await(t.Context(), position); !errors.Is(err, ErrTooManyWaiters) {
		t.Errorf("one too many: %v", err)
	}
	p.waiters.settle(1, map[string]int64{"user-1": position.Version})
	if p.waiters.count != 0 {
		t.Errorf("%d still wait after all were woken", p.waiters.count)
	}
}

func TestAwaitRefusesForeignPositions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.epoch = 2
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)
	position := b.log.position("user-1")
	position.Epoch = 1
	if err := p.Await(t.Context(), position); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("of an older epoch: %v", err)
	}
	position = b.log.position("user-1")
	position.Log = "media"
	if err := p.Await(t.Context(), position); !errors.Is(err, ErrForeignLog) {
		t.Errorf("of another log: %v", err)
	}
}

// The rows of the former epoch serve until the rebuild is done. What was written
// since is still to come: not a fault of who asks for it.
func TestAwaitOfALaterEpochIsNotAppliedYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.log.append("user-1", counted)
	p, _ := b.start(t)
	ready(t, p)
	position := b.log.position("user-1")
	position.Epoch++
	bounded, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Await(bounded, position); !errors.Is(err, ErrNotApplied) {
		t.Errorf("of a later epoch: %v", err)
	}
}

func TestWaitersOfAnEpochThatHasEndedAreTold(t *testing.T) {
	t.Parallel()
	waiters := newWaiters()
	waiting, err := waiters.add(eventstore.Position{Log: "test", Epoch: 1, Stream: "user-1", Version: 9})
	if err != nil {
		t.Fatal(err)
	}
	waiters.settle(1, map[string]int64{"user-1": 8})
	waiters.settle(2, map[string]int64{"user-1": 1})
	if err := <-waiting.settled; !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("settled with %v", err)
	}
}
