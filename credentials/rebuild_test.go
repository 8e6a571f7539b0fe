package credentials_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/secret"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// crowd registers, signs in and refreshes through all replicas until it is
// stopped. Not one call may fail, whatever is done to the projection meanwhile.
type crowd struct {
	t        *testing.T
	w        *world
	replicas []credentialsv1connect.CredentialsServiceClient
	calls    atomic.Int64
}

// comes begins, and gives its end.
func (c *crowd) comes(known *credentialsv1.LoginResponse) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var people sync.WaitGroup
	for r, here := range c.replicas {
		there := c.replicas[(r+1)%len(c.replicas)]
		people.Go(func() {
			for n := 0; ctx.Err() == nil && c.joins(ctx, fmt.Sprintf("newcomer-%d-%d", r, n), here, there); n++ {
			}
		})
		people.Go(func() {
			for ctx.Err() == nil {
				_, err := login(ctx, here, "person0", rightPassword, nil)
				if !c.well(ctx, "login of who is known for long", err) {
					return
				}
			}
		})
	}
	people.Go(func() { c.staysSignedIn(ctx, known.GetTokens().GetRefreshToken()) })
	stop = sync.OnceFunc(func() {
		cancel()
		people.Wait()
	})
	c.t.Cleanup(stop)
	return stop
}

// joins registers somebody, who is let in by one replica with the token of the
// registration, is known to the other one, and stays in.
func (c *crowd) joins(ctx context.Context, name string, here, there credentialsv1connect.CredentialsServiceClient) bool {
	_, position, err := c.w.tryRegister(ctx, name)
	if !c.well(ctx, "register", err) {
		return false
	}
	opened, err := login(ctx, here, name, rightPassword, position)
	if !c.well(ctx, "login of "+name, err) {
		return false
	}
	known, err := there.AwaitAccess(ctx, connect.NewRequest(&credentialsv1.AwaitAccessRequest{Position: position}))
	if !c.well(ctx, "the other replica's look at "+name, err) {
		return false
	}
	if !known.Msg.GetApplied() {
		c.t.Errorf("the other replica does not know %s", name)
	}
	_, err = refresh(ctx, there, opened.GetTokens().GetRefreshToken())
	if !c.well(ctx, "refresh of "+name, err) {
		return false
	}
	// Nothing that was seen is unseen again.
	_, err = login(ctx, there, name, rightPassword, nil)
	return c.well(ctx, "second login of "+name, err)
}

func (c *crowd) staysSignedIn(ctx context.Context, token string) {
	for n := 0; ctx.Err() == nil; n++ {
		tokens, err := refresh(ctx, c.replicas[n%len(c.replicas)], token)
		if !c.well(ctx, "refresh", err) {
			return
		}
		token = tokens.GetRefreshToken()
	}
}

func (c *crowd) well(ctx context.Context, what string, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
		return false
	}
	c.calls.Add(1)
	return true
}

// goesOn waits until the crowd was served for a while as it is now.
func (c *crowd) goesOn(what string) {
	c.t.Helper()
	before, late := c.calls.Load(), time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for c.calls.Load() < before+20 {
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatalf("nobody is served: %s", what)
		}
	}
}

// With two replicas on one database nobody who registers, signs in or refreshes
// notices a rebuild, a swap, a verification, a way back or the end of the former
// rows.
func TestNobodyNoticesWhatIsDoneToTheProjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.operates(t, 200), w.operates(t, 0)
	known, err := login(t.Context(), first.people, "person1", rightPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, w: w, replicas: []credentialsv1connect.CredentialsServiceClient{first.people, second.people}}
	stop := c.comes(known)
	c.goesOn("before anything is done")
	for n, o := range []*operator{first, second, first} {
		o.rebuild()
		o.ended("the rebuild")
		c.goesOn(fmt.Sprintf("after rebuild %d", n))
	}
	if found := second.verify(); found.GetDiffering() != 0 {
		t.Errorf("while people come, rows differ: %v", found)
	}
	before := first.look().GetGeneration()
	for n := range 2 {
		if _, err := second.client.RollbackProjection(t.Context(), connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: "access"})); err != nil {
			t.Fatal(err)
		}
		c.goesOn(fmt.Sprintf("after going back %d", n))
	}
	if _, err := first.client.DropGeneration(t.Context(), connect.NewRequest(&musterv1.DropGenerationRequest{Name: "access"})); err != nil {
		t.Fatal(err)
	}
	first.until("the former rows are gone", only(map[musterv1.GenerationState]int64{serving: before}))
	c.goesOn("after the former rows are gone")
	stop()
	if found := first.verify(); found.GetDiffering() != 0 {
		t.Errorf("at last rows differ: %v", found)
	}
}

// A projection that was down for an hour tells how far it is behind, event by
// event, until it is not any more. Then the rows are those of a rebuild.
func TestWhoeverWasAwayForAnHourTellsHowFarBehindItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, stop := w.start(t)
	_, position := w.register(t, "ada")
	if _, err := login(t.Context(), w.client(t, "gateway", address), "ada", rightPassword, position); err != nil {
		t.Fatal(err)
	}
	stop()
	const people = 1200 // several pages of the log
	w.now = func() time.Time { return time.Now().Add(-time.Hour) }
	for i := range people {
		w.register(t, fmt.Sprintf("person%d", i))
	}
	w.now = time.Now

	o := &operator{t: t, rows: connectTo(t, w.config.DatabaseOwnerURL)}
	// What is applied at a time; rows are written until then, and no further.
	applied := func(by *pgx.Conn) (events int64) {
		t.Helper()
		if err := by.QueryRow(t.Context(), `SELECT COALESCE(sum(version), 0)::bigint FROM read.applied WHERE projection = 'access'`).Scan(&events); err != nil {
			t.Fatal(err)
		}
		return events
	}
	const total = 2 + 2*people
	letGo := o.held()
	service, _ := w.begin(t)
	o.client, o.people = w.projections(t, "operator", service.Addr()), w.client(t, "gateway", service.Addr())
	told := o.until("all is told that waits", func(p *musterv1.Projection) bool { return p.GetLagEvents() > 0 })
	if lag := told.GetLagEvents(); lag < 2*people || lag > 2*people+1 || told.GetState() != musterv1.ProjectionState_PROJECTION_STATE_CATCHING_UP {
		t.Errorf("with %d events to apply it tells: %v", 2*people, told)
	}
	beside := connectTo(t, w.config.DatabaseOwnerURL)
	letGo()
	last := told.GetLagEvents()
	for last > 0 {
		seen := o.look()
		left := total - applied(beside) // fewer than there were when it was told
		switch lag := seen.GetLagEvents(); {
		case lag < left:
			t.Fatalf("it tells %d events, and %d are left", lag, left)
		case lag > last+1: // where the log ends shows at its end only, and is one until then
			t.Fatalf("it tells %d events, after %d", lag, last)
		case lag > 0 && seen.GetLag().AsDuration() < time.Hour:
			t.Fatalf("the oldest of %d events is an hour old; it tells %v", lag, seen.GetLag().AsDuration())
		default:
			last = min(last, lag)
		}
	}
	select {
	case <-service.Ready():
	case <-t.Context().Done():
		t.Fatal("it is not ready")
	}
	o.until("it tells of nothing that waits", func(p *musterv1.Projection) bool {
		return p.GetLagEvents() == 0 && p.GetLag().AsDuration() == 0 && p.GetState() == musterv1.ProjectionState_PROJECTION_STATE_LIVE
	})
	o.signsIn(fmt.Sprintf("person%d", people-1))
	if found := o.verify(); found.GetDiffering() != 0 || found.GetRows() != people+1 {
		t.Errorf("the rows are not those of a rebuild: %v", found)
	}
}

func connectTo(t *testing.T, url secret.String) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
