package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/muster/internal/cli"
	"github.com/muster-id/muster/platform/devstack"
)

// options of a run.
type options struct {
	For           time.Duration `default:"10m" help:"For how long parts fail."`
	Seed          uint64        `help:"Seed of the faults and of what clients do; 0 draws one."`
	Registrations int           `default:"1000" help:"So many registrations at least have to be acknowledged."`
	Only          string        `help:"Only faults with this in their name, such as 'PostgreSQL' or 'RabbitMQ wiped'."`
	Clients       int           `default:"12" help:"Clients at once."`
	Data          string        `help:"New folder for the system's data, which stays; a temporary one where not given."`
	Short         bool          `help:"Short faults, each part failing once before any fails twice."`
}

// run is one run.
type run struct {
	options
	out        io.Writer
	began      time.Time
	history    *history
	world      *world
	breaker    *breaker
	prober     *prober
	mutex      sync.Mutex // for what follows
	events     []string
	recoveries []recovery
	away       []window // of the gateway
	verified   []string
	logged     logged
}

var errBroken = errors.New("rules are broken")

func main() {
	bePart()
	var o options
	parser, err := kong.New(&o, kong.Name("faults"), kong.Description("Run Muster while its parts fail, and check what its clients were told."))
	if err == nil {
		_, err = parser.Parse(os.Args[1:])
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = execute(ctx, o, os.Stdout)
		stop()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// bePart is the whole program where the system has started it as one of its
// processes.
func bePart() {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "s3") {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
}

// execute runs what the options ask for. errBroken says that a rule is broken;
// which one is told before.
func execute(ctx context.Context, o options, out io.Writer) (err error) {
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32) //nolint:gosec // no secret
	}
	r := &run{options: o, out: out, began: time.Now(), history: newHistory()}
	r.say("seed %d", o.Seed)
	r.say("hash: Argon2id with %d KiB and %d pass, so that faults and not hashes take the time", hashMemoryKiB, hashTime)
	if o.Data != "" { // a new one: the first administrator's password is read from it
		if err := os.Mkdir(o.Data, 0o700); err != nil {
			return err
		}
		return r.whole(ctx, o.Data)
	}
	dir, err := os.MkdirTemp("", "muster-faults-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.clear(dir, err)) }()
	return r.whole(ctx, dir)
}

func (r *run) whole(ctx context.Context, dir string) (err error) {
	links := newNetwork()
	defer links.close()
	if r.world, err = open(ctx, dir, links, r.history, r.out); err != nil {
		return err
	}
	// Some of its services have been ended, which is no failure of the stop.
	defer func() { err = errors.Join(err, r.world.close()) }()
	r.breaker = &breaker{world: r.world, network: links, away: map[string]bool{}}
	before, err := r.end(ctx)
	if err != nil {
		return err
	}
	if r.prober, err = newProber(ctx, r.world, r.Seed); err != nil {
		return err
	}
	complaints, err := r.fail(ctx)
	if err != nil {
		return err
	}
	r.say("every part is back: checking")
	more, err := r.finish(ctx, before)
	complaints = append(complaints, more...)
	if err != nil {
		return err
	}
	if registered := r.history.told("Register", acknowledged); registered < r.Registrations {
		complaints = append(complaints, fmt.Sprintf("%d registrations were acknowledged, and %d have to be", registered, r.Registrations))
	}
	_, _ = fmt.Fprintf(r.out, "\n%s\n", r.summary())
	if len(complaints) == 0 {
		r.say("every rule holds (seed %d)", r.Seed)
		return nil
	}
	_, _ = fmt.Fprintln(r.out, "faults of this run:")
	for _, event := range r.events {
		_, _ = fmt.Fprintln(r.out, "  "+event)
	}
	const shown = 50
	for _, complaint := range complaints[:min(len(complaints), shown)] {
		_, _ = fmt.Fprintln(r.out, "BROKEN:", complaint)
	}
	return fmt.Errorf("%d times: %w; repeat it with --seed %d", len(complaints), errBroken, r.Seed)
}

// fail lets clients work and parts fail until the time is over, and gives what
// did not come back.
func (r *run) fail(ctx context.Context) (complaints []string, err error) {
	work, stop := context.WithTimeout(ctx, r.For)
	defer stop()
	var clients sync.WaitGroup
	for n := range r.Clients {
		v := newVisitor(r.world, r.Seed, n)
		v.dot = r.prober.visitor.dot
		clients.Go(func() { v.visit(ctx, work) })
	}
	failing, ended := context.WithCancel(ctx)
	clients.Go(func() { r.tell(failing) })
	for round := range plan(r.Seed, r.Short, r.Only) {
		if backoff.Sleep(work, round.calm) != nil {
			break
		}
		more, failed := r.round(work, ctx, round)
		complaints = append(complaints, more...)
		if failed != nil || len(complaints) > 0 {
			err = failed
			break // what does not come back makes all that follows worthless
		}
	}
	stop()
	ended()
	err = errors.Join(err, r.breaker.calm())
	clients.Wait()
	return complaints, errors.Join(err, ctx.Err())
}

// round has parts fail at once, and waits until they are back.
func (r *run) round(work, ctx context.Context, of round) (complaints []string, err error) {
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	var ended []string
	var watch errgroup.Group
	watch.Go(func() (err error) {
		ended, err = r.breaker.watch(watching)
		return err
	})
	var group errgroup.Group
	began := time.Now()
	overs := make([]time.Time, len(of.faults))
	for i, f := range of.faults {
		r.note("%s", f)
		group.Go(func() (err error) {
			overs[i], err = r.breaker.strike(work, f)
			return err
		})
	}
	err = group.Wait()
	if err != nil {
		return nil, err
	}
	// One needs what the other may have been without.
	over := slices.MaxFunc(overs, time.Time.Compare)
	for _, f := range of.faults {
		took, missing := r.prober.back(ctx, f.part, over)
		r.note("  %s: back after %.2f s", f.part, took.Seconds())
		r.recoveries = append(r.recoveries, recovery{fault: f, began: began.Sub(r.began), back: took, err: missing})
		if missing != nil {
			complaints = append(complaints, fmt.Sprintf("after %s: %v", f, missing))
		}
		if f.part == gateway {
			r.away = append(r.away, window{began, time.Now()})
		}
	}
	unwatch()
	if err := watch.Wait(); err != nil {
		return nil, err
	}
	for _, name := range ended {
		r.note("  %s had ended by itself and was started again", name)
		// A service that finds no PostgreSQL at its start ends with an error.
		if !slices.ContainsFunc(of.faults, func(f fault) bool { return f.part == postgres }) {
			complaints = append(complaints, name+" ended by itself while PostgreSQL ran")
		}
	}
	return complaints, nil
}

// tell prints how far the run is, now and then.
func (r *run) tell(ctx context.Context) {
	for backoff.Sleep(ctx, 15*time.Second) == nil {
		r.say("%d writes acknowledged, %d refused; %d registrations", r.history.told("", acknowledged), r.history.told("", refused), r.history.told("Register", acknowledged))
	}
}

// note tells of a fault, and keeps it for the report of a failure.
func (r *run) note(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	r.mutex.Lock()
	r.events = append(r.events, time.Now().UTC().Format("15:04:05.000 ")+text)
	r.mutex.Unlock()
	r.say("%s", text)
}

func (r *run) say(format string, arguments ...any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_, _ = fmt.Fprintf(r.out, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// clear deletes the system's data, and keeps the logs of a run that failed.
func (r *run) clear(dir string, failed error) error {
	var err error
	if failed != nil {
		var kept string
		if kept, err = os.MkdirTemp("", "muster-faults-logs-"); err == nil {
			err = os.CopyFS(filepath.Join(kept, "log"), os.DirFS(filepath.Join(dir, "log")))
			r.say("the logs of all processes: %s", kept)
		}
	}
	return errors.Join(err, devstack.Remove(dir))
}
