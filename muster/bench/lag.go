package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

const (
	// lagRate is how many events a second come while lag is compared, for lagTime.
	lagRate = 1000
	lagTime = time.Minute
	// flatShare of the greatest rate that is kept has to be kept for flatTime
	// without falling behind; it is looked at in windows.
	flatShare  = 0.70
	flatTime   = 5 * time.Minute
	flatWindow = 30 * time.Second
	// rampFrom is the first rate tried, each is rampStep times the one before and
	// holds for rampTime. It is kept when the last third of the events came within
	// rampBound.
	rampFrom  = 1000
	rampStep  = 1.25
	rampTime  = 8 * time.Second
	rampBound = 250 * time.Millisecond
	// observed: of so many events one is waited for. To ask for each would be a
	// thousand calls a second that nobody makes.
	observed = 10
	// underWay bounds the events that are on their way.
	underWay = 20_000
	// appenders is how many connections the load has to the log.
	appenders = 20
	// ahead is how many events are sealed before they are due.
	ahead = 10_000
)

// errNotKept: events are due faster than they arrive.
var errNotKept = errors.New("too many events are on their way")

// measureLag compares the time from when an event is due until its row is there
// with what it cannot do without: a commit, a confirmed publish and the delivery
// to a consumer, alone, at the same rate; and looks whether it stays as it is
// under a load near the greatest.
func measureLag(ctx context.Context, b *bench) error {
	return b.aside(ctx, "lag", func() error {
		w, err := b.open(ctx, true)
		if err != nil {
			return err
		}
		if _, err := b.fillTo(ctx, w, b.Sizes[0]); err != nil {
			return err
		}
		l, err := b.live(ctx, w)
		if err != nil {
			return err
		}
		defer l.close()
		if err := b.lagAgainst(ctx, w, l); err != nil {
			return err
		}
		return b.flat(ctx, w, l)
	})
}

// delay is how long an event took that was due so long after the beginning, both
// in seconds.
type delay struct{ due, took float64 }

// delays of events.
type delays struct {
	mutex sync.Mutex
	all   []delay
	// processor is what was used meanwhile, where that was looked at.
	processor used
}

func (d *delays) add(due, took time.Duration) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.all = append(d.all, delay{due.Seconds(), took.Seconds()})
}

// between gives those of events that were due then.
func (d *delays) between(from, to time.Duration) sample {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var found sample
	for _, one := range d.all {
		if one.due >= from.Seconds() && one.due < to.Seconds() {
			found = append(found, one.took)
		}
	}
	return found
}

// paced calls send n times at a steady rate, whatever the calls before take, and
// returns when all have ended. Each is told how long ago the first was due and
// when it was due itself: that is where its time begins, so that one that had to
// wait for its turn counts as late as it was.
func paced(ctx context.Context, rate float64, n int, send func(ctx context.Context, i int, due time.Time, after time.Duration) error) error {
	under, ctx := errgroup.WithContext(ctx)
	under.SetLimit(underWay)
	began := time.Now()
	for i := range n {
		after := time.Duration(float64(i) / rate * float64(time.Second))
		due := began.Add(after)
		if wait := time.Until(due); wait > 0 {
			if backoff.Sleep(ctx, wait) != nil {
				break // one has failed
			}
		}
		if !under.TryGo(func() error { return send(ctx, i, due, after) }) {
			return errors.Join(errNotKept, under.Wait())
		}
	}
	return under.Wait()
}

// load appends events of real types, each a command, through the log as identity
// does.
type load struct {
	world       *world
	pool        *pgxpool.Pool
	log         *postgres.Log
	filler      *filler
	credentials credentialsv1connect.CredentialsServiceClient
	people      int
	stop        context.CancelFunc
	ended       chan error
}

func (b *bench) live(ctx context.Context, w *world) (_ *load, err error) {
	l := &load{world: w, people: newcomers, ended: make(chan error, 1)}
	if l.pool, err = database.Open(ctx, w.Databases["identity"], "bench-load", appenders); err != nil {
		return nil, err
	}
	maker, err := w.maker()
	if err == nil {
		l.filler, err = newFiller(ctx, l.pool, maker, password.DefaultParams)
	}
	if err == nil {
		l.log, err = postgres.Open(ctx, l.pool, logName, slog.New(slog.DiscardHandler))
	}
	if err == nil {
		l.credentials, err = w.credentials()
	}
	if err != nil {
		l.pool.Close()
		return nil, err
	}
	// The log's notifier wakes the forwarder after each append, as identity's does.
	ctx, l.stop = context.WithCancel(ctx)
	go func() { l.ended <- l.log.Run(ctx) }() // awaited by close
	return l, nil
}

func (l *load) close() {
	l.stop()
	<-l.ended //nolint:errcheck // it was told to end
	l.pool.Close()
}

// crowd is how many people do the same one after the other, so that the events of
// one person lie that far apart.
const crowd = 500

// supply seals events, so many ahead of those that take them. It ends with ctx;
// an error of it ends the group.
func (l *load) supply(ctx context.Context, group *errgroup.Group, ahead int) <-chan eventstore.Event {
	supplied := make(chan eventstore.Event, ahead)
	group.Go(func() error {
		defer close(supplied)
		for {
			people := make([]*person, crowd)
			known := make([]identified, crowd)
			for _, what := range []happening{registered, passwordSet, rolesChanged, usernameChanged} {
				var drafts []eventstore.Draft
				for i := range people {
					if people[i] == nil {
						l.people++
						people[i] = &person{number: l.people}
						var err error
						if known[i], err = l.filler.identify(ctx); err != nil {
							return ended(ctx, err)
						}
					}
					drafted, err := l.filler.draft(people[i].does(what), known[i], time.Now().UTC())
					if err != nil {
						return ended(ctx, err)
					}
					drafts = append(drafts, drafted...)
				}
				events, err := l.filler.seal(ctx, drafts)
				if err != nil {
					return ended(ctx, err)
				}
				for _, event := range events {
					select {
					case <-ctx.Done():
						return nil
					case supplied <- event:
					}
				}
			}
		}
	})
	return supplied
}

// ended is no error once it was told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // told to end
	}
	return err
}

// run appends at a rate and gives the delays of those that were observed.
func (l *load) run(ctx context.Context, rate float64, n, ahead int) (*delays, error) {
	found := &delays{}
	sealing, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	supplied := l.supply(sealing, &group, ahead)
	for len(supplied) < ahead {
		if err := backoff.Sleep(ctx, watch); err != nil {
			return nil, err
		}
	}
	before, err := l.world.uses()
	if err != nil {
		return nil, err
	}
	err = paced(ctx, rate, n, func(ctx context.Context, i int, due time.Time, after time.Duration) error {
		event, more := <-supplied
		if !more {
			return errors.New("no more events are sealed")
		}
		event.OccurredAt = time.Now().UTC()
		at, err := l.append(ctx, event)
		if err != nil || i%observed != 0 {
			return err
		}
		if err := awaitAccess(ctx, l.credentials, at); err != nil {
			return err
		}
		found.add(after, time.Since(due))
		return nil
	})
	after, failed := l.world.uses()
	found.processor = after.since(before)
	stop()
	return found, errors.Join(err, failed, group.Wait())
}

// append appends an event, again while the one before it in its stream is still
// on its way.
func (l *load) append(ctx context.Context, event eventstore.Event) (eventstore.Position, error) {
	expected := eventstore.NoStream
	if event.Version > 1 {
		expected = eventstore.ExpectedVersion(event.Version - 1)
	}
	for {
		appended, err := l.log.Append(ctx, eventstore.Append{Stream: event.Stream, Expected: expected, Events: []eventstore.Event{event}})
		if !errors.Is(err, eventstore.ErrWrongVersion) {
			return appended.Position, err
		}
		if err := backoff.Sleep(ctx, look); err != nil {
			return eventstore.Position{}, err
		}
	}
}

// awaitAccess returns when what is at a position is in the rows of access.
func awaitAccess(ctx context.Context, credentials credentialsv1connect.CredentialsServiceClient, at eventstore.Position) error {
	for {
		answer, err := credentials.AwaitAccess(ctx, connect.NewRequest(&credentialsv1.AwaitAccessRequest{
			Position: &eventlogv1.Position{Log: at.Log, Epoch: at.Epoch, Stream: at.Stream, Version: at.Version},
		}))
		if err != nil {
			return fmt.Errorf("wait for a live event: %w", err)
		}
		if answer.Msg.GetApplied() {
			return nil
		}
	}
}

// lagAgainst compares it with the parts that it cannot do without.
func (b *bench) lagAgainst(ctx context.Context, w *world, l *load) error {
	length := lagTime
	if b.Quick {
		length = 4 * time.Second
	}
	n := int(lagRate * length.Seconds())
	p, err := w.newBareWay(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	var ours99, bare99 sample
	median := func(found *delays, err error, p99 *sample) (float64, error) {
		if err != nil {
			return 0, err
		}
		all := found.between(0, math.MaxInt64)
		*p99 = append(*p99, all.percentile(99))
		b.say("p99 %s of %d", milliseconds(all.percentile(99)), len(all))
		return all.median(), nil
	}
	var ours, theirs used // in the last round
	what := fmt.Sprintf("lag at %s events/s for %s", count(lagRate), length)
	samples, err := b.takeTurns(ctx, what+", p50", milliseconds,
		side{name: "Muster", measure: func(ctx context.Context) (p50 float64, err error) {
			err = b.profiled(ctx, w, fmt.Sprintf("lag-%d", len(ours99)+1), func() error {
				found, err := l.run(ctx, lagRate, n, n)
				if p50, err = median(found, err, &ours99); err == nil {
					ours = found.processor
				}
				return err
			})
			return p50, err
		}},
		side{name: "the bare way", measure: func(ctx context.Context) (float64, error) {
			before, err := w.uses()
			if err != nil {
				return 0, err
			}
			found, err := p.run(ctx, lagRate, n)
			if err != nil {
				return 0, err
			}
			after, err := w.uses()
			theirs = after.since(before)
			return median(found, err, &bare99)
		}},
	)
	if err != nil {
		return err
	}
	for _, compared := range []struct {
		name         string
		ours, theirs sample
	}{{", p50", samples[0], samples[1]}, {", p99", ours99, bare99}} {
		b.add(row{
			what: what + compared.name, rival: "commit, confirmed publish and delivery of one message, alone",
			ratio: compared.ours.over(compared.theirs), reach: atMost(2),
			ours: absolute{compared.ours, milliseconds}, theirs: absolute{compared.theirs, milliseconds},
		})
	}
	b.note("Lag: from when an event is due, at a steady rate whatever those before it take, through its append as a command of its own to the answer of credentials that it is in the rows; one of %d is asked for.", observed)
	share := func(u used) string {
		return fmt.Sprintf("%.0f %%", 100*u.sum()/length.Seconds()/float64(runtime.NumCPU()))
	}
	b.note("Processor time of the last round of lag, of %s: %s, %s of the machine; of the bare way %s, %s of it. The nearer to all of it, the longer each of the processes that an event passes through waits for its turn.",
		length, ours, share(ours), theirs, share(theirs))
	return nil
}

// flat looks for the greatest rate that is kept and then whether a share of it
// stays as fast as it was.
func (b *bench) flat(ctx context.Context, w *world, l *load) error {
	length, window, step := flatTime, flatWindow, rampTime
	if b.Quick {
		length, window, step = 6*time.Second, 2*time.Second, 2*time.Second
	}
	greatest, err := b.ramp(ctx, w, l, step)
	if err != nil {
		return err
	}
	rate := math.Floor(flatShare * greatest)
	found, err := l.run(ctx, rate, int(rate*length.Seconds()), ahead)
	if err != nil {
		return err
	}
	var p50, p99 []point
	for from := time.Duration(0); from < length; from += window {
		now := found.between(from, from+window)
		p50 = append(p50, point{(from + window).Seconds(), now.median()})
		p99 = append(p99, point{(from + window).Seconds(), now.percentile(99)})
	}
	what := fmt.Sprintf("lag, p50, at %s events/s for %s", count(rate), length)
	first, last := sample{p50[0].value}, sample{p50[len(p50)-1].value}
	b.add(row{
		what: fmt.Sprintf("%s, the last %s", what, window), rival: "the first " + window.String(),
		ratio: last.over(first), reach: atMost(2), ours: absolute{last, milliseconds}, theirs: absolute{first, milliseconds},
	})
	b.report.plots = append(b.report.plots, figure{
		name: fileName("lag at a steady rate"), title: fmt.Sprintf("Lag at %s events/s", count(rate)),
		x: axis{label: "seconds", text: count}, y: axis{label: "lag", text: milliseconds},
		lines: []line{{"p50", p50}, {"p99", p99}},
	})
	b.note("The greatest rate that is kept, its load on the same machine: %s events/s. At %s of it p50 changes by %s a minute.",
		count(greatest), strconv.FormatFloat(flatShare, 'f', 2, 64), milliseconds(60*slope(p50)))
	return nil
}

// ramp raises the rate until it is not kept.
func (b *bench) ramp(ctx context.Context, w *world, l *load, step time.Duration) (float64, error) {
	kept := 0.0
	for rate := float64(rampFrom); ; rate *= rampStep {
		found, err := l.run(ctx, rate, int(rate*step.Seconds()), ahead)
		if err != nil && !errors.Is(err, errNotKept) {
			return 0, err
		}
		end := found.between(step*2/3, step)
		late := end.median()
		b.say("at %s events/s the last ones take %s", count(rate), milliseconds(late))
		if err := w.settle(ctx, b.say); err != nil {
			return 0, err
		}
		if err != nil || math.IsNaN(late) || late > rampBound.Seconds() {
			break
		}
		kept = rate
	}
	if kept == 0 {
		return 0, fmt.Errorf("not even %d events/s are kept", rampFrom)
	}
	return kept, nil
}

// slope of values, by least squares.
func slope(points []point) float64 {
	var n, sumX, sumY, sumXX, sumXY float64
	for _, p := range points {
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+p.size, sumY+p.value, sumXX+p.size*p.size, sumXY+p.size*p.value
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}
