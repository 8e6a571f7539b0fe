package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
)

// shape is how a log is appended to.
type shape struct {
	// writers append at once, each to streams of its own.
	writers int
	// each is how many events a command has, and commands how many a round has.
	each, commands int
}

func (s shape) String() string {
	if s.each == 1 {
		return "append, one event a command, " + s.who()
	}
	return fmt.Sprintf("append, %d events a command, %s", s.each, s.who())
}

func (s shape) who() string {
	if s.writers == 1 {
		return "1 writer"
	}
	return fmt.Sprintf("%d writers", s.writers)
}

// rival names what it is compared with.
func (s shape) rival() string {
	if s.each == 1 {
		return "plain pgx INSERT of the same bytes"
	}
	return "pgx unnest of the same bytes"
}

// Seconds of work a round, on a small machine.
var (
	alone = shape{writers: 1, each: 1, commands: 5_000}
	some  = shape{writers: 8, each: 1, commands: 15_000}
	many  = shape{writers: 32, each: 1, commands: 15_000}
	tens  = shape{writers: 8, each: 10, commands: 3_000}
)

// quickly is the same with little work.
func (s shape) quickly() shape {
	s.commands = 32 * eventsEach
	return s
}

// measureAppend compares the log's append with plain statements that write the
// same bytes into the same table.
func measureAppend(ctx context.Context, b *bench) error {
	return b.inArena(ctx, func(a *arena) error {
		for _, s := range []shape{alone, some, many, tens} {
			if b.Quick {
				s = s.quickly()
			}
			if err := b.appendAgainst(ctx, a, s, atLeast(0.90)); err != nil {
				return err
			}
		}
		return b.importAgainst(ctx, a)
	})
}

const (
	// imported is how many people an import appends at once, all that they did,
	// and imports how many calls a round has.
	imported, imports = 1_000, 10
)

// importAgainst compares the log's append of many streams with COPY.
func (b *bench) importAgainst(ctx context.Context, a *arena) error {
	calls := imports
	if b.Quick {
		calls = 1
	}
	chunks := make([][]batch, calls)
	// In each round anew: what is in the log already cannot be appended again.
	again := func(ctx context.Context) (err error) {
		for i := range chunks {
			if chunks[i], err = a.batches(ctx, imported, eventsEach); err != nil {
				return err
			}
		}
		return a.calm(ctx)
	}
	what := fmt.Sprintf("import, %s streams of %d events a call", count(imported), eventsEach)
	rate := eachSecond(float64(calls*imported*eventsEach), "events")
	samples, err := b.takeTurns(ctx, what, rate,
		side{name: "the log", prepare: again, measure: timed(func(ctx context.Context) error {
			return eachOf(chunks, func(c []batch) error { return a.appendAll(ctx, c) })
		})},
		side{name: "COPY", prepare: again, measure: timed(func(ctx context.Context) error {
			return eachOf(chunks, func(c []batch) error { return a.copy(ctx, c) })
		})},
	)
	if err != nil {
		return err
	}
	b.add(row{what: what, rival: "pgx CopyFrom of as many", ratio: samples[1].over(samples[0]), ours: absolute{samples[0], rate}, theirs: absolute{samples[1], rate}})
	return nil
}

func eachOf(chunks [][]batch, do func([]batch) error) error {
	for _, chunk := range chunks {
		if err := do(chunk); err != nil {
			return err
		}
	}
	return nil
}

// measureGrowth appends to logs of all sizes: it must not matter how many events
// there are.
func measureGrowth(ctx context.Context, b *bench) error {
	return b.inArena(ctx, func(a *arena) error {
		var cost []point
		filled := 0
		for _, size := range b.Sizes {
			people := size / eventsEach
			if people > filled {
				b.say("filling a log up to %s sealed events", count(float64(size)))
				if err := a.filler.fill(ctx, filled+1, people); err != nil {
					return err
				}
				filled = people
			}
			if err := a.vacuum(ctx); err != nil {
				return err
			}
			s := some
			if b.Quick {
				s = s.quickly()
			}
			took, err := b.appendOnly(ctx, a, s, fmt.Sprintf("append to %s events", count(float64(size))))
			if err != nil {
				return err
			}
			cost = append(cost, point{float64(size), took.median() / float64(s.commands)})
		}
		if len(cost) < 2 {
			return nil // no curve goes through one point
		}
		// Of one event: 0 is a cost that does not grow, and that of all is 1 more.
		b.report.curves = append(b.report.curves, curve{
			what: fmt.Sprintf("append of one event, %d writers, by the events in the log", some.writers), points: cost, text: microseconds, reach: atMost(0.05),
		})
		return nil
	})
}

// appendAgainst has both sides write the same work in each round.
func (b *bench) appendAgainst(ctx context.Context, a *arena, s shape, reach bound) error {
	var peaks sample
	given := &works{arena: a, shape: s}
	write := func(do func(context.Context, *batch) error, after func() error) side {
		var now *work
		round := 0
		return side{
			prepare: func(ctx context.Context) (err error) {
				if now, err = given.of(ctx, round); err != nil {
					return err
				}
				round++
				return a.calm(ctx)
			},
			measure: func(ctx context.Context) (float64, error) {
				took, err := now.write(ctx, do)
				return took, errors.Join(err, after())
			},
		}
	}
	ours := write(a.append, func() error {
		own, err := peak(os.Getpid())
		peaks = append(peaks, own)
		return err
	})
	rival := write(a.insert, func() error { return nil })
	ours.name, rival.name = "the log", "pgx"
	if err := b.warm(ctx, a, s); err != nil {
		return err
	}
	rate := eachSecond(float64(s.commands*s.each), "events")
	ours.measure = b.profiledHere(fmt.Sprintf("append-%d-%d", s.writers, s.each), ours.measure)
	samples, err := b.takeTurns(ctx, s.String(), rate, ours, rival)
	if err != nil {
		return err
	}
	b.add(row{
		what: s.String(), rival: s.rival(),
		ratio: samples[1].over(samples[0]), reach: reach,
		ours: absolute{samples[0], rate}, theirs: absolute{samples[1], rate}, memory: "the writers' process " + mebibytes(peaks.median()),
	})
	return nil
}

// appendOnly measures the log alone.
func (b *bench) appendOnly(ctx context.Context, a *arena, s shape, what string) (sample, error) {
	if err := b.warm(ctx, a, s); err != nil {
		return nil, err
	}
	var now *work
	samples, err := b.takeTurns(ctx, what, eachSecond(float64(s.commands), "events"), side{
		name: "the log",
		prepare: func(ctx context.Context) (err error) {
			if now, err = a.work(ctx, s); err != nil {
				return err
			}
			return a.calm(ctx)
		},
		measure: func(ctx context.Context) (float64, error) { return now.write(ctx, a.append) },
	})
	if err != nil {
		return nil, err
	}
	return samples[0], nil
}

// warm opens every connection and prepares the statements on it, on both sides.
func (b *bench) warm(ctx context.Context, a *arena, s shape) error {
	s.commands = max(s.writers*2*eventsEach, 64*eventsEach)
	little, err := a.work(ctx, s)
	if err != nil {
		return err
	}
	_, ours := little.write(ctx, a.append)
	_, rival := little.write(ctx, a.insert)
	return errors.Join(ours, rival)
}

// profiledHere leaves a CPU profile of this process, where profiles are asked
// for: the last round's.
func (b *bench) profiledHere(name string, measure func(context.Context) (float64, error)) func(context.Context) (float64, error) {
	if b.Profile == "" {
		return measure
	}
	return func(ctx context.Context) (figure float64, err error) {
		if err := os.MkdirAll(b.Profile, 0o755); err != nil { //nolint:gosec // no secret is in it
			return 0, err
		}
		file, err := os.Create(filepath.Join(b.Profile, name+".pprof")) //nolint:gosec // a path of the caller's
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return 0, err
		}
		defer pprof.StopCPUProfile()
		return measure(ctx)
	}
}

// batch is what one command appends, sealed: as the log takes it, and as the
// arguments of a statement, which are the same bytes.
type batch struct {
	append eventstore.Append
	row    []any
	lists  []any
}

// work is what writers do in one round, each its own batches in their order.
type work struct{ writers [][]batch }

// write gives the seconds that it takes all writers.
func (w *work) write(ctx context.Context, do func(context.Context, *batch) error) (float64, error) {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, own := range w.writers {
		group.Go(func() error {
			for i := range own {
				if err := do(ctx, &own[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return time.Since(began).Seconds(), err
}

// works gives both sides the same work in the same round.
type works struct {
	arena *arena
	shape shape
	round int
	now   *work
}

func (w *works) of(ctx context.Context, round int) (*work, error) {
	if w.now != nil && round == w.round {
		return w.now, nil
	}
	made, err := w.arena.work(ctx, w.shape)
	w.now, w.round = made, round
	return made, err
}

// work seals what a round appends.
func (a *arena) work(ctx context.Context, s shape) (*work, error) {
	w := &work{writers: make([][]batch, s.writers)}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range w.writers {
		group.Go(func() (err error) {
			w.writers[i], err = a.batches(ctx, s.commands/s.writers, s.each)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("make what is appended: %w", err)
	}
	return w, nil
}

// happenings of a person's stream, one version after the other.
var happenings = []happening{registered, passwordSet, profileUpdated, rolesChanged, usernameChanged}

// batches are those of one writer. Everybody registers, then everybody does the
// next thing, so that a stream is not appended to twice in a row; a command of
// several events is all that a person does.
func (a *arena) batches(ctx context.Context, commands, each int) ([]batch, error) {
	turns := max(1, eventsEach/each)
	people := make([]*person, max(1, commands/turns))
	ids := make([]identified, len(people))
	var err error
	for i := range people {
		people[i] = &person{number: i + 1}
		if ids[i], err = a.filler.identify(ctx); err != nil {
			return nil, err
		}
	}
	var drafts []eventstore.Draft
	for range turns {
		for i, who := range people {
			what := make([]happening, each)
			for at := range what {
				what[at] = happenings[(int(who.version)+at)%len(happenings)]
			}
			drafted, err := a.filler.draft(who.does(what...), ids[i], time.Now().UTC())
			if err != nil {
				return nil, err
			}
			drafts = append(drafts, drafted...)
		}
	}
	events, err := a.filler.seal(ctx, drafts)
	if err != nil {
		return nil, err
	}
	made := make([]batch, 0, len(events)/each)
	for at := 0; at < len(events); at += each {
		one, err := newBatch(events[at : at+each])
		if err != nil {
			return nil, err
		}
		made = append(made, one)
	}
	return made, nil
}

func newBatch(events []eventstore.Event) (batch, error) {
	first := events[0]
	b := batch{append: eventstore.Append{Stream: first.Stream, Expected: eventstore.ExpectedVersion(first.Version - 1), Events: events}}
	var all []values
	for i := range events {
		v, err := valuesOf(&events[i])
		if err != nil {
			return batch{}, err
		}
		all = append(all, v)
	}
	if len(all) == 1 {
		b.row = all[0].row()
		return b, nil
	}
	b.lists = []any{
		column(all, func(v values) pgtype.UUID { return v.id }),
		column(all, func(v values) string { return v.Stream }),
		column(all, func(v values) int64 { return v.Version }),
		column(all, func(v values) int32 { return eventstore.ShardOf(v.Stream) }),
		column(all, func(v values) string { return v.Type }),
		column(all, func(v values) int32 { return v.SchemaVersion }),
		column(all, func(v values) time.Time { return v.OccurredAt }),
		column(all, func(v values) json.RawMessage { return v.Payload }),
		column(all, func(v values) []byte { return v.Sealed }),
		column(all, func(v values) pgtype.UUID { return v.key }),
		column(all, func(v values) json.RawMessage { return v.metadata }),
		column(all, func(v values) []byte { return v.MetadataSealed }),
		column(all, func(v values) pgtype.UUID { return v.metadataKey }),
	}
	return b, nil
}

func column[T any](all []values, of func(values) T) []T {
	list := make([]T, len(all))
	for i, v := range all {
		list[i] = of(v)
	}
	return list
}

// strangeKeys makes keys that no keyring knows: what is appended here is never
// opened, and has to be of the same bytes only.
type strangeKeys struct{}

var _ seal.Maker = strangeKeys{}

// Make implements seal.Maker.
func (strangeKeys) Make(_ context.Context, n int) ([]seal.Key, error) {
	made := make([]seal.Key, n)
	for i := range made {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, err
		}
		bytes := make([]byte, seal.KeySize)
		_, _ = rand.Read(bytes) // it never fails
		made[i] = seal.Key{ID: id.String(), State: seal.Alive, Bytes: seal.NewSecret(bytes)}
	}
	return made, nil
}
