package forwarder

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// What a process that forwards is told by its environment. The name is that of
// its connections to the database too.
const (
	nameEnv     = "MUSTER_TEST_FORWARDER"
	databaseEnv = "MUSTER_TEST_FORWARDER_DATABASE"
	brokerEnv   = "MUSTER_TEST_FORWARDER_BROKER"
	holdsEnv    = "MUSTER_TEST_FORWARDER_HOLDS"
)

// What it says, a line each, and what it is told.
const (
	leads     = "leads"
	follows   = "follows"
	holds     = "holds"
	confirmed = "confirmed"
	goOn      = "go on"
)

// Of a process that holds: the stream whose events are not sent, and the one
// whose events are kept after their confirms.
const (
	unsent = "user-unsent"
	held   = "user-held"
)

// forwards is the process that the test binary is instead of running tests. It
// ends with its input.
func forwards() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	release := make(chan struct{})
	go func() {
		defer stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if lines.Text() == goOn {
				close(release)
			}
		}
	}()
	silent := slog.New(slog.DiscardHandler)
	pool, err := database.Open(ctx, secret.New(os.Getenv(databaseEnv)), os.Getenv(nameEnv), 8)
	if err != nil {
		return err
	}
	defer pool.Close()
	log, err := postgres.Open(ctx, pool, "identity", silent)
	if err != nil {
		return err
	}
	connection, err := broker.Connect(ctx, broker.Config{URL: secret.New(os.Getenv(brokerEnv)), Logger: silent})
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // it has no error
	var publisher Publisher = broker.NewPublisher(connection)
	if os.Getenv(holdsEnv) != "" {
		publisher = holding{publisher, release}
	}
	f := New(log, Config{Publisher: publisher, Logger: silent, Batch: 50})
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { _ = log.Run(ctx) }) // it only wakes
	beside.Go(func() { tell(ctx, f) })
	return f.Run(ctx)
}

func say(what string) { _, _ = io.WriteString(os.Stdout, what+"\n") } // who does not listen has ended

// tell says whenever the lead comes or goes.
func tell(ctx context.Context, f *Forwarder) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for leading := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if now := f.Stats().Leading; now != leading {
			leading = now
			if leading {
				say(leads)
			} else {
				say(follows)
			}
		}
	}
}

// holding is a publisher that never begins with some batches, and returns late from
// others that were confirmed.
type holding struct {
	Publisher
	release <-chan struct{}
}

func (h holding) PublishBatch(ctx context.Context, events []eventstore.Event) error {
	if slices.ContainsFunc(events, func(event eventstore.Event) bool { return event.Stream == unsent }) {
		say(holds)
		<-ctx.Done()
		return ctx.Err()
	}
	err := h.Publisher.PublishBatch(ctx, events)
	for _, event := range events {
		if err == nil && event.Stream == held {
			say(confirmed)
			select {
			case <-h.release:
			case <-ctx.Done():
			}
		}
	}
	return err
}

// process is one that forwards.
type process struct {
	name  string
	cmd   *exec.Cmd
	tells io.Writer
	says  chan string
}

func (f flow) process(t *testing.T, holds bool) *process {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	p := &process{name: "forwarder-" + uuid.NewString(), cmd: exec.Command(executable), says: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), nameEnv+"="+p.name, databaseEnv+"="+f.urls.Runtime.Reveal(), brokerEnv+"="+f.url)
	if holds {
		p.cmd.Env = append(p.cmd.Env, holdsEnv+"=1")
	}
	p.cmd.Stderr = os.Stderr
	input, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.tells = input
	output, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			p.says <- lines.Text()
		}
	})
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be dead, or stopped
		reading.Wait()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(signal))
}

// await waits until the process says something.
func (p *process) await(t *testing.T, what string) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case said := <-p.says:
			if said == what {
				return
			}
		case <-limit:
			t.Fatalf("%s does not say %q", p.name, what)
		}
	}
}

// saidNothing tells that the lead has neither come nor gone.
func (p *process) saidNothing(t *testing.T) {
	t.Helper()
	select {
	case said := <-p.says:
		t.Errorf("%s says %q", p.name, said)
	default:
	}
}

// whole are the versions that have come of each stream, in whatever order: the
// death of a publisher may leave a later message of a batch and lose an earlier
// one, which comes with the batch's repetition.
type whole map[string]map[int64]bool

func (w whole) take(event eventstore.Event) {
	if w[event.Stream] == nil {
		w[event.Stream] = make(map[int64]bool)
	}
	w[event.Stream][event.Version] = true
}

// until takes messages until a stream is complete up to a version.
func (w whole) until(t *testing.T, received <-chan *message.Message, stream string, version int64) {
	t.Helper()
	limit := time.After(patience)
	for int64(len(w[stream])) < version {
		select {
		case next := <-received:
			event, err := broker.Decode(next)
			require.NoError(t, err)
			w.take(event)
			next.Ack()
		case <-limit:
			t.Fatalf("%s has %d of %d versions", stream, len(w[stream]), version)
		}
	}
}

func (f flow) mustAppend(t *testing.T, stream string, from, to int64) {
	t.Helper()
	for version := from; version <= to; version++ {
		require.NoError(t, f.append(t.Context(), stream, version))
	}
}

func TestAnotherProcessForwardsAfterTheDeathOfTheOneThatDid(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	clock := f.clock(t)
	received, rows := f.subscribe(t), f.rows(t)
	active := f.process(t, true)
	active.await(t, leads)
	standby := f.process(t, false)
	seen := whole{}
	f.mustAppend(t, "user-1", 1, 20)
	seen.until(t, received, "user-1", 20)
	standby.saidNothing(t)

	// Killed while there is something to publish, and some of it was not sent.
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for version := int64(1); version <= 100; version++ {
			if err := f.append(t.Context(), "user-2", version); err != nil {
				t.Errorf("append: %v", err)
				return
			}
		}
	})
	seen.until(t, received, "user-2", 10)
	f.mustAppend(t, unsent, 1, 1)
	active.await(t, holds)
	killed := clock.Now()
	active.signal(t, os.Kill)
	standby.await(t, leads)
	led := clock.Now()
	f.mustAppend(t, "user-3", 1, 1)
	seen.until(t, received, "user-3", 1)
	took := clock.Now()
	t.Logf("after the kill another led in %s and had published in %s; by the fair clock %s and %s",
		led.Wall.Sub(killed.Wall), took.Wall.Sub(killed.Wall), led.Fair-killed.Fair, took.Fair-killed.Fair)
	require.Less(t, took.Fair-killed.Fair, 2*time.Second)
	writing.Wait()
	seen.until(t, received, "user-2", 100)
	seen.until(t, received, unsent, 1)
	for stream, version := range map[string]int64{"user-1": 20, "user-2": 100, "user-3": 1, unsent: 1} {
		rows.want(t, f, stream, version)
	}
}

func TestAProcessThatWasStoppedDoesNoHarmWhenItWakes(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	received, rows := f.subscribe(t), f.rows(t)
	active := f.process(t, true)
	active.await(t, leads)
	standby := f.process(t, false)
	seen := whole{}
	f.mustAppend(t, "user-1", 1, 20)
	seen.until(t, received, "user-1", 20)

	// Stopped between the confirms of a batch and its checkpoint.
	f.mustAppend(t, held, 1, 1)
	active.await(t, confirmed)
	active.signal(t, syscall.SIGSTOP)
	seen.until(t, received, held, 1)

	// The tail of the log carries the projections meanwhile.
	f.mustAppend(t, "user-1", 21, 40)
	rows.want(t, f, "user-1", 40)
	rows.want(t, f, held, 1)
	require.Empty(t, received, "the stopped one holds the lead as long as its connection lives")
	standby.saidNothing(t)

	// The server takes its connection for dead, and another leads.
	admin, err := pgx.Connect(t.Context(), teststack.Admin(t).Reveal())
	require.NoError(t, err)
	defer admin.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	ended, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1 || '%'`, active.name)
	require.NoError(t, err)
	require.Positive(t, ended.RowsAffected())
	standby.await(t, leads)
	seen.until(t, received, "user-1", 40)
	fence, checkpoint := f.caughtUp(t)

	// It wakes with confirms and a checkpoint that are late.
	active.signal(t, syscall.SIGCONT)
	_, err = io.WriteString(active.tells, goOn+"\n")
	require.NoError(t, err)
	active.await(t, follows)
	_, unmoved := f.saved(t)
	require.Empty(t, f.between(t, unmoved, checkpoint), "the checkpoint has gone back")
	f.mustAppend(t, "user-1", 41, 60)
	seen.until(t, received, "user-1", 60)
	standby.saidNothing(t)
	now, later := f.caughtUp(t)
	require.Equal(t, fence, now, "nobody else has led")
	require.Len(t, f.between(t, checkpoint, later), 20, "the checkpoint went on from where it was")
	rows.want(t, f, "user-1", 60)
	rows.want(t, f, held, 1)

	// And it is as good a standby as any.
	standby.signal(t, os.Kill)
	active.await(t, leads)
	f.mustAppend(t, "user-1", 61, 80)
	seen.until(t, received, "user-1", 80)
	f.caughtUp(t)
	rows.want(t, f, "user-1", 80)
	rows.want(t, f, held, 1)
}

// caughtUp waits until the checkpoint is after all that was appended.
func (f flow) caughtUp(t *testing.T) (fence int64, cursor string) {
	t.Helper()
	require.Eventually(t, func() bool {
		fence, cursor = f.saved(t)
		page, err := f.log.ReadLog(t.Context(), eventstore.Cursor(cursor), 10, 0)
		return err == nil && page.AtHead && len(page.Events) == 0
	}, patience, 20*time.Millisecond, "the checkpoint is behind")
	return fence, cursor
}

// between are the events after one cursor that are not after another.
func (f flow) between(t *testing.T, from, to string) (events []eventstore.Event) {
	t.Helper()
	after := make(map[uuid.UUID]bool)
	for i, cursor := range []string{to, from} {
		page, err := f.log.ReadLog(t.Context(), eventstore.Cursor(cursor), 1000, 0)
		require.NoError(t, err)
		for _, event := range page.Events {
			if i == 0 {
				after[event.ID] = true
			} else if !after[event.ID] {
				events = append(events, event)
			}
		}
	}
	return events
}

// clock is a fair one that asks the database.
func (f flow) clock(t *testing.T) *eventtest.FairClock {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.urls.Runtime.Reveal())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // after the clock has ended
	return eventtest.NewFairClock(t, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, `SELECT 1`)
		return err
	})
}

// saved is the fence of the one that led last, and the checkpoint.
func (f flow) saved(t *testing.T) (fence int64, cursor string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.urls.Owner.Reveal())
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT fence, cursor FROM log.forwarder_checkpoint`).Scan(&fence, &cursor))
	return fence, cursor
}

// isProcess tells whether this is a process that forwards, and runs it.
func isProcess() bool {
	if os.Getenv(nameEnv) == "" {
		return false
	}
	if err := forwards(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}
