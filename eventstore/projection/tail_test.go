package projection

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-id/muster/eventstore"
)

// paced is a tail in a bubble of false time, over a log whose events it finds
// late or not as the test says.
type paced struct {
	log    *fakeLog
	status *status
	// late and broker, in Unix nanoseconds, are what the tail is told.
	late   atomic.Bool
	broker atomic.Int64
	// polls counts the reads, the last of which waited this long.
	polls atomic.Int64
	waits atomic.Int64
	// events counts what was read.
	events atomic.Int64
	// slow is how much longer a read takes; held, that pages are not applied.
	slow atomic.Int64
	held atomic.Bool
}

func (p *paced) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	p.polls.Add(1)
	p.waits.Store(int64(wait))
	page, err := p.log.ReadLog(ctx, after, limit, wait)
	<-time.After(time.Duration(p.slow.Load()))
	return page, err
}

func (p *paced) waiting() time.Duration { return time.Duration(p.waits.Load()) }

// begin starts the tail; it ends with the bubble's context.
func (p *paced) begin(ctx context.Context) *tail {
	p.log = newFakeLog()
	p.status = &status{logger: slog.New(slog.DiscardHandler)}
	tail := &tail{
		log:    "test",
		source: p,
		submit: func(ctx context.Context, page eventstore.Page) (bool, error) {
			if p.held.Load() {
				<-ctx.Done()
				return false, ctx.Err()
			}
			p.events.Add(int64(len(page.Events)))
			return p.late.Load() && len(page.Events) > 0, nil
		},
		brokerInTime: func() time.Time { return time.Unix(0, p.broker.Load()) },
		status:       p.status,
		caughtUp:     make(chan struct{}),
	}
	go tail.run(ctx)
	return tail
}

// pass lets time go by. Inside the bubble this takes none.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func bubble(t *testing.T, test func(t *testing.T, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		test(t, ctx)
	})
}

// A page may have to wait behind what the broker has brought, and a log under a
// large append may be slow to answer: neither is a reason to tell of no lag.
func TestWhatIsBehindIsToldBeforeItIsApplied(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		tail := p.begin(ctx)
		pass(3 * time.Second)
		<-tail.caughtUp
		if stats := p.status.stats(); stats.LagEvents != 0 || stats.Lag != 0 {
			t.Fatalf("at the head: %+v", stats)
		}
		p.slow.Store(int64(time.Minute))
		pass(headWait)
		if stats := p.status.stats(); stats.Lag < 2*time.Second {
			t.Errorf("while the log does not answer: %+v", stats)
		}
		p.slow.Store(0)
		pass(time.Minute)
		if stats := p.status.stats(); stats.Lag != 0 {
			t.Errorf("once it has: %+v", stats)
		}
		p.held.Store(true)
		p.log.set(func(l *fakeLog) { l.small, l.shown = 10, len(l.events) })
		for range 25 {
			p.log.append("user-1", counted)
		}
		p.log.set(func(l *fakeLog) { l.shown = -1 }) // all at once: the tail is waiting
		pass(headWait)
		if stats := p.status.stats(); stats.LagEvents != 25 || stats.Lag < headWait {
			t.Errorf("while the first page waits: %+v", stats)
		}
	})
}

func TestTailOnlyLooksAfterABrokerThatDelivers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		tail := p.begin(ctx)
		pass(3 * time.Second)
		<-tail.caughtUp
		p.broker.Store(time.Now().UnixNano()) // brought one in time
		p.log.append("user-1", counted)
		pass(0)
		if !p.status.stats().BrokerDelivers {
			t.Fatal("a broker that delivers is not trusted")
		}
		p.polls.Store(0)
		pass(time.Minute)
		if p.polls.Load() != 120 || p.waiting() != 0 {
			t.Errorf("%d looks in a minute, each waiting %v; want 120 that do not wait", p.polls.Load(), p.waiting())
		}
	})
}

func TestTailGoesAtTheHeadsPaceOnceAnEventIsLate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		p.begin(ctx)
		pass(3 * time.Second)
		p.broker.Store(time.Now().UnixNano())
		p.log.append("user-1", counted)
		pass(0)

		p.late.Store(true) // the broker falls silent
		p.log.append("user-1", counted)
		pass(lookInterval)
		if p.status.stats().BrokerDelivers || p.events.Load() != 2 {
			t.Fatalf("after a late event: %+v, %d events", p.status.stats(), p.events.Load())
		}
		p.polls.Store(0)
		pass(time.Minute)
		if p.polls.Load() != 12 || p.waiting() != headWait {
			t.Errorf("%d reads in a quiet minute, each waiting %v; want 12 of %v", p.polls.Load(), p.waiting(), headWait)
		}
		for i := range 10 {
			p.log.append("user-1", counted)
			pass(0)
			if p.events.Load() != int64(3+i) {
				t.Fatalf("event %d is not read as soon as it is there", i)
			}
		}

		// It delivers again, and is trusted after a calm while, not before.
		p.late.Store(false)
		p.broker.Store(time.Now().Add(time.Millisecond).UnixNano())
		pass(calm - 100*time.Millisecond)
		p.log.append("user-1", counted)
		pass(0)
		if p.status.stats().BrokerDelivers {
			t.Error("trusted again at once")
		}
		pass(100 * time.Millisecond)
		p.log.append("user-1", counted)
		pass(0)
		if !p.status.stats().BrokerDelivers {
			t.Error("not trusted again")
		}
	})
}

func TestSilenceIsNoProofThatTheBrokerDelivers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		p.begin(ctx)
		pass(time.Hour)
		if p.status.stats().BrokerDelivers || p.waiting() != headWait {
			t.Errorf("trusted without a message: %+v, waiting %v", p.status.stats(), p.waiting())
		}
	})
}

func TestTailComesBackWithBackoffWhenTheLogWasAway(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		p.begin(ctx)
		pass(time.Second)
		p.polls.Store(0)
		p.log.set(func(l *fakeLog) { l.away = errors.New("no route to the log") })
		pass(10 * time.Minute)
		// At the longest pause, less jitter, 375 to 625 times; a few more to get there.
		if p.polls.Load() < 375 || p.polls.Load() > 640 {
			t.Errorf("%d reads in ten minutes without a log", p.polls.Load())
		}
		if got := p.status.stats().LastError; got == "" {
			t.Error("stats do not tell that the log is away")
		}
		p.log.set(func(l *fakeLog) { l.away = nil })
		p.log.append("user-1", counted)
		pass(1600 * time.Millisecond) // a sign-in is promised within two seconds
		if p.events.Load() != 1 || p.status.stats().LastError != "" {
			t.Errorf("%d events after the log came back; %+v", p.events.Load(), p.status.stats())
		}
	})
}

func TestTailOfAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := &paced{}
		p.begin(ctx)
		p.log.name = "media"
		p.log.append("user-1", counted)
		pass(time.Minute)
		if p.events.Load() != 0 || p.status.stats().LastError == "" {
			t.Errorf("%d events of another log taken; %+v", p.events.Load(), p.status.stats())
		}
	})
}
