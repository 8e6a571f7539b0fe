package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/password"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// access is the projection that is rebuilt, at credentials.
const access = "access"

// measureRebuild compares a rebuild of the access projection, from the call to
// the swap, with what it cannot be faster than: reading the same log over the
// same RPC without applying it, and reading the rows without any of us.
func measureRebuild(ctx context.Context, b *bench) error {
	w, err := b.open(ctx, false)
	if err != nil {
		return err
	}
	var took, memory []point
	for _, size := range b.Sizes {
		events, err := b.fillTo(ctx, w, size)
		if err != nil {
			return err
		}
		if events > int64(size)+int64(size)/2 {
			b.say("the kept log has %s events already: %s cannot be measured", count(float64(events)), count(float64(size)))
			continue
		}
		times, peaks, err := b.rebuildAgainst(ctx, w, events)
		if err != nil {
			return err
		}
		took = append(took, point{float64(events), times.median()})
		memory = append(memory, point{float64(events), peaks.median()})
	}
	if len(took) < 2 {
		return nil // no curve goes through one point
	}
	b.report.curves = append(b.report.curves,
		curve{what: "rebuild of access", points: took, text: seconds, reach: atMost(1.05)},
		// A tenth: twice the memory for a thousand times the events.
		curve{what: "peak memory of credentials in it", points: memory, text: mebibytes, reach: atMost(0.10)},
	)
	return nil
}

// rebuildAgainst has the rivals take turns on the log as it is.
func (b *bench) rebuildAgainst(ctx context.Context, w *world, events int64) (took, peaks sample, err error) {
	stream, err := w.stream()
	if err != nil {
		return nil, nil, err
	}
	plain, err := w.asAdmin(ctx, "identity")
	if err != nil {
		return nil, nil, err
	}
	defer plain.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	r, err := w.rebuilder(ctx)
	if err != nil {
		return nil, nil, err
	}
	what := fmt.Sprintf("rebuild of access from %s events", count(float64(events)))
	var cost costs
	samples, err := b.takeTurns(ctx, what, seconds,
		side{name: "the rebuild", prepare: r.clear, measure: func(ctx context.Context) (float64, error) { return b.rebuildOnce(ctx, r, events, &cost) }},
		side{name: "the eventlog stream alone", measure: timed(func(ctx context.Context) error { return readStream(ctx, stream, events) })},
		side{name: "a plain pgx read", measure: timed(func(ctx context.Context) error { return readPlain(ctx, plain, events) })},
	)
	if err != nil {
		return nil, nil, err
	}
	if err := r.clear(ctx); err != nil {
		return nil, nil, err
	}
	rate := eachSecond(float64(events), "events")
	memory := fmt.Sprintf("credentials %s, identity %s", mebibytes(cost.credentials.median()), mebibytes(cost.identity.median()))
	for i, rival := range []struct {
		name  string
		reach bound
	}{{"the eventlog stream alone, not applied", atLeast(0.50)}, {"a plain pgx read of the same rows", atLeast(0.30)}} {
		b.add(row{
			what: what, rival: rival.name,
			ratio: samples[i+1].over(samples[0]), reach: rival.reach,
			ours: absolute{samples[0], rate}, theirs: absolute{samples[i+1], rate}, memory: memory,
		})
	}
	b.note("A rebuild of access from %s events took %s (%s to %s). Processor time in the last one: %s.",
		count(float64(events)), seconds(samples[0].median()), seconds(samples[0].percentile(0)), seconds(samples[0].percentile(100)), cost.processor)
	return samples[0], cost.credentials, nil
}

// costs of rebuilds besides their time.
type costs struct {
	// credentials and identity are the peaks of their memory, in bytes. Identity
	// serves the log.
	credentials, identity sample
	// processor time in the last one.
	processor used
}

func (b *bench) rebuildOnce(ctx context.Context, r *rebuilder, events int64, cost *costs) (took float64, err error) {
	w := r.world
	before, err := w.uses()
	if err != nil {
		return 0, err
	}
	name := fmt.Sprintf("rebuild-%d-%d", events, len(cost.credentials)+1)
	if err := b.profiled(ctx, w, name, func() (err error) {
		took, err = r.rebuild(ctx)
		return err
	}); err != nil {
		return 0, err
	}
	after, err := w.uses()
	if err != nil {
		return 0, err
	}
	cost.processor = after.since(before)
	own, err := peak(w.PIDs["credentials"])
	if err != nil {
		return 0, err
	}
	served, err := peak(w.PIDs["identity"])
	cost.credentials, cost.identity = append(cost.credentials, own), append(cost.identity, served)
	return took, err
}

// rebuilder rebuilds access as an operator does.
type rebuilder struct {
	world      *world
	projection *operator.Projection
}

func (w *world) rebuilder(ctx context.Context) (*rebuilder, error) {
	projection, err := w.operator.Projection(ctx, access)
	return &rebuilder{w, projection}, err
}

const (
	// watch is how often is looked whether former rows are gone.
	watch = 50 * time.Millisecond
	// clearBound is how long it may take to delete the rows of a million events.
	clearBound = 5 * time.Minute
)

// silent watches an operation without a word.
type silent struct{}

func (silent) Progress(*musterv1.Operation) {}
func (silent) Again(*musterv1.Operation)    {}
func (silent) Away(error)                   {}
func (silent) Back()                        {}

// rebuild gives the seconds from the call to the end of the swap, which the
// service tells: it does not matter when it is looked.
func (r *rebuilder) rebuild(ctx context.Context) (float64, error) {
	began := time.Now()
	begun, err := r.projection.Rebuild(ctx)
	if err != nil {
		return 0, fmt.Errorf("begin: %w", err)
	}
	seen, err := r.projection.Watch(ctx, begun, silent{})
	if err != nil {
		return 0, fmt.Errorf("wait for the end: %w", err)
	}
	ended := seen.GetOperation()
	if ended.GetState() != musterv1.OperationState_OPERATION_STATE_DONE {
		return 0, fmt.Errorf("%s: %s", ended.GetState(), ended.GetProblem())
	}
	return ended.GetFinishedAt().AsTime().Sub(began).Seconds(), nil
}

// clear drops former rows, so that every rebuild begins with one generation,
// tidies the database, and begins to look at memory anew.
func (r *rebuilder) clear(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, clearBound)
	defer cancel()
	if err := r.drop(bounded); err != nil {
		return fmt.Errorf("drop the former rows: %w", err)
	}
	return errors.Join(
		r.world.tidy(ctx, "credentials"),
		resetPeak(r.world.PIDs["credentials"]), resetPeak(r.world.PIDs["identity"]),
	)
}

// drop returns when nothing is left of former rows.
func (r *rebuilder) drop(ctx context.Context) error {
	for asked := false; ; {
		seen, err := r.projection.Look(ctx)
		if err != nil {
			return err
		}
		if len(seen.GetGenerations()) == 1 {
			return nil
		}
		if !asked {
			if _, err := r.projection.Drop(ctx, 0); err != nil {
				return err
			}
			asked = true
		}
		if err := backoff.Sleep(ctx, watch); err != nil {
			return err
		}
	}
}

// filled is what a data directory remembers of how its log was filled.
type filled struct {
	People int `json:"people"`
}

// fillTo fills the log up to a size, the first administrator aside, waits until
// every projection has applied it, and tells how many events there are.
func (b *bench) fillTo(ctx context.Context, w *world, size int) (int64, error) {
	path := filepath.Join(w.dir, "filled.json")
	var had filled
	text, err := os.ReadFile(path) //nolint:gosec // a path of ours
	if err == nil {
		err = json.Unmarshal(text, &had)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	if people := size / eventsEach; people > had.People {
		if err := b.fill(ctx, w, had.People+1, people); err != nil {
			return 0, err
		}
		had.People = people
		text, err := json.Marshal(had)
		if err != nil {
			return 0, err
		}
		if err := durable.Write(path, text, 0o644); err != nil {
			return 0, err
		}
	}
	b.people = had.People
	if err := w.settle(ctx, b.say); err != nil {
		return 0, err
	}
	var events int64
	return events, w.events.QueryRow(ctx, `SELECT count(*) FROM log.events`).Scan(&events)
}

func (b *bench) fill(ctx context.Context, w *world, first, last int) error {
	maker, err := w.maker()
	if err != nil {
		return err
	}
	filler, err := newFiller(ctx, w.events, maker, password.DefaultParams)
	if err != nil {
		return err
	}
	events := float64((last - first + 1) * eventsEach)
	b.say("filling the log with %s sealed events", count(events))
	began := time.Now()
	if err := filler.fill(ctx, first, last); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	b.say("filled in %s, %s events/s", seconds(took), count(events/took))
	return errors.Join(w.tidy(ctx, "identity"), w.tidy(ctx, "keyring"))
}
