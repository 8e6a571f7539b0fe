package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/password"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

const (
	// appendEvery and signInEvery are a modest load: what it costs leaves nearly
	// all of the machine to the rebuild.
	appendEvery = 50 * time.Millisecond
	signInEvery = 200 * time.Millisecond
	// quiet is how long is looked without a rebuild.
	quiet = 20 * time.Second
	// atOnce bounds the probes under way of each kind.
	atOnce = 200
	// newcomers is where the numbers of people begin who register while it is looked.
	newcomers = 100_000_000
	// forwarder is the name that identity's forwarder leads the log under.
	forwarder = "forwarder"
)

// measureLive compares the lag of live events, and sign-ins, while the access
// projection is rebuilt from the whole log with the same without a rebuild.
func measureLive(ctx context.Context, b *bench) error {
	w, err := b.open(ctx, b.world != nil && b.world.broker)
	if err != nil {
		return err
	}
	events, err := b.fillTo(ctx, w, b.Sizes[len(b.Sizes)-1])
	if err != nil {
		return err
	}
	if !w.broker {
		if err := w.passOver(ctx); err != nil {
			return err
		}
		if w, err = b.open(ctx, true); err != nil {
			return err
		}
		if err := w.settle(ctx, b.say); err != nil {
			return err
		}
	}
	p, err := b.prober(ctx, w)
	if err != nil {
		return err
	}
	r, err := w.rebuilder(ctx)
	if err != nil {
		return err
	}
	var calm, busy rounds
	for round := range b.Runs {
		if err := r.clear(ctx); err != nil {
			return err
		}
		found, err := p.probe(ctx, func(ctx context.Context) error { return backoff.Sleep(ctx, quiet) })
		if err != nil {
			return err
		}
		calm.add(found)
		b.say("live, round %d of %d: quiet: %s", round+1, b.Runs, found)
		found, err = p.probe(ctx, func(ctx context.Context) error {
			_, err := r.rebuild(ctx)
			return err
		})
		if err != nil {
			return err
		}
		busy.add(found)
		b.say("live, round %d of %d: during a rebuild: %s", round+1, b.Runs, found)
	}
	during := fmt.Sprintf("during a rebuild from %s events", count(float64(events)))
	for _, compared := range []struct {
		what       string
		busy, calm sample
		reach      bound
	}{
		{"lag of live events, p50, ", busy.lag50, calm.lag50, atMost(2)},
		{"lag of live events, p99, ", busy.lag99, calm.lag99, atMost(2)},
		{"sign-in, p50, ", busy.signIn50, calm.signIn50, bound{}},
		{"sign-in, p99, ", busy.signIn99, calm.signIn99, bound{}},
	} {
		b.add(row{
			what: compared.what + during, rival: "the same without a rebuild",
			ratio: compared.busy.over(compared.calm), reach: compared.reach,
			ours: absolute{compared.busy, milliseconds}, theirs: absolute{compared.calm, milliseconds},
		})
	}
	b.add(row{what: "sign-ins that failed " + during, rival: "all of them", ratio: busy.failed, reach: none})
	b.note("Live events: a registration every %s, from its commit to the answer that its row is there. Sign-ins: one every %s at credentials, Argon2id with %d KiB, t = %d, p = %d; %d during rebuilds, %d without one.",
		appendEvery, signInEvery, password.DefaultParams.MemoryKiB, password.DefaultParams.Time, password.DefaultParams.Parallelism, busy.signIns, calm.signIns)
	return nil
}

// passOver lets the forwarder begin after what the log was filled with: it is in
// every projection, and to publish it would only take time. Only where nobody
// forwards at present.
func (w *world) passOver(ctx context.Context) error {
	log, err := postgres.Open(ctx, w.events, logName, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	lead, err := log.Lead(ctx, forwarder)
	if err != nil {
		return err
	}
	defer lead.Close()
	at, err := lead.Checkpoint(ctx)
	for err == nil {
		var page eventstore.Page
		if page, err = lead.Read(ctx, at, readPage); err != nil {
			break
		}
		if page.AtHead {
			return lead.Save(ctx, page.Next)
		}
		at = page.Next
	}
	return fmt.Errorf("pass over what is filled: %w", err)
}

// prober makes a modest load and looks how it is answered.
type prober struct {
	log         *postgres.Log
	filler      *filler
	people      int
	appended    atomic.Int64
	credentials credentialsv1connect.CredentialsServiceClient
}

func (b *bench) prober(ctx context.Context, w *world) (*prober, error) {
	log, err := postgres.Open(ctx, w.events, logName, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	maker, err := w.maker()
	if err != nil {
		return nil, err
	}
	filler, err := newFiller(ctx, w.events, maker, password.DefaultParams)
	if err != nil {
		return nil, err
	}
	credentials, err := w.credentials()
	return &prober{log: log, filler: filler, people: b.people, credentials: credentials}, err
}

// probes are what one look found, in seconds.
type probes struct {
	mutex        sync.Mutex
	lag, signIns sample
	failed       int
	// because is what the last one that failed was told.
	because connect.Code
}

func (p *probes) String() string {
	text := fmt.Sprintf("lag p50 %s, p99 %s (%d); sign-in p50 %s, p99 %s (%d)",
		milliseconds(p.lag.percentile(50)), milliseconds(p.lag.percentile(99)), len(p.lag),
		milliseconds(p.signIns.percentile(50)), milliseconds(p.signIns.percentile(99)), len(p.signIns))
	if p.failed > 0 {
		text += fmt.Sprintf(", and %d failed, with %s", p.failed, p.because)
	}
	return text
}

// rounds are probes by rounds.
type rounds struct {
	lag50, lag99, signIn50, signIn99, failed sample
	signIns                                  int
}

func (r *rounds) add(p *probes) {
	r.lag50, r.lag99 = append(r.lag50, p.lag.percentile(50)), append(r.lag99, p.lag.percentile(99))
	r.signIn50, r.signIn99 = append(r.signIn50, p.signIns.percentile(50)), append(r.signIn99, p.signIns.percentile(99))
	all := len(p.signIns) + p.failed
	r.signIns += all
	r.failed = append(r.failed, float64(p.failed)/float64(all))
}

// probe appends and signs in at a steady rate, whatever the answers take, for as
// long as meanwhile runs.
func (p *prober) probe(ctx context.Context, meanwhile func(context.Context) error) (*probes, error) {
	found := &probes{}
	// The log's notifier wakes the forwarder after each append, as identity's does.
	background, stop := context.WithCancel(ctx)
	var running errgroup.Group
	running.Go(func() error { return p.log.Run(background) })
	running.Go(func() error {
		return steadily(background, ctx, appendEvery, func(ctx context.Context) error { return p.appendOne(ctx, found) })
	})
	running.Go(func() error {
		return steadily(background, ctx, signInEvery, func(ctx context.Context) error { return p.signIn(ctx, found) })
	})
	err := meanwhile(ctx)
	stop()
	return found, errors.Join(err, running.Wait())
}

// steadily begins a probe every so often until ctx ends. Those that are under way
// then end in the outer context.
func steadily(ctx, outer context.Context, every time.Duration, probe func(context.Context) error) error {
	var under errgroup.Group
	under.SetLimit(atOnce)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return under.Wait()
		case <-ticks.C:
			if !under.TryGo(func() error { return probe(outer) }) {
				return errors.Join(fmt.Errorf("%d probes wait for an answer: the machine is too slow for one every %s", atOnce, every), under.Wait())
			}
		}
	}
}

// appendOne appends a registration and waits until it is in the rows.
func (p *prober) appendOne(ctx context.Context, found *probes) error {
	who, err := p.filler.identify(ctx)
	if err != nil {
		return err
	}
	someone := &person{number: int(p.appended.Add(1)) + newcomers}
	drafts, err := p.filler.draft(someone.does(registered, passwordSet), who, time.Now().UTC())
	if err != nil {
		return err
	}
	events, err := p.filler.seal(ctx, drafts)
	if err != nil {
		return err
	}
	appended, err := p.log.Append(ctx, eventstore.Append{Stream: events[0].Stream, Expected: eventstore.NoStream, Events: events})
	if err != nil {
		return err
	}
	committed := time.Now()
	at := appended.Position
	for {
		answer, err := p.credentials.AwaitAccess(ctx, connect.NewRequest(&credentialsv1.AwaitAccessRequest{
			Position: &eventlogv1.Position{Log: at.Log, Epoch: at.Epoch, Stream: at.Stream, Version: at.Version},
		}))
		if err != nil {
			return fmt.Errorf("wait for a live event: %w", err)
		}
		if answer.Msg.GetApplied() {
			break
		}
	}
	lag := time.Since(committed).Seconds()
	found.mutex.Lock()
	defer found.mutex.Unlock()
	found.lag = append(found.lag, lag)
	return nil
}

// signIn signs somebody in.
func (p *prober) signIn(ctx context.Context, found *probes) error {
	began := time.Now()
	_, err := p.credentials.Login(ctx, connect.NewRequest(&credentialsv1.LoginRequest{
		Login: emailOf(1 + rand.IntN(p.people)), Password: everybodysPassword.Reveal(), //nolint:gosec // whoever it is
	}))
	took := time.Since(began).Seconds()
	found.mutex.Lock()
	defer found.mutex.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil // cut off, it tells nothing
	case err != nil:
		found.failed++
		found.because = connect.CodeOf(err)
		return nil // it is counted; the others go on
	}
	found.signIns = append(found.signIns, took)
	return nil
}
