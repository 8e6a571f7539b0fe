package status_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/status"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is where a Monitor logs.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// scripted answers each look with what the test sends, and tells that it looks.
type scripted struct {
	looks   chan struct{}
	answers chan answer
}

type answer struct {
	state   status.State
	problem string
	err     error
}

func newScripted() *scripted {
	return &scripted{looks: make(chan struct{}), answers: make(chan answer)}
}

func (s *scripted) probe(ctx context.Context) (status.State, string, error) {
	select {
	case s.looks <- struct{}{}:
	case <-ctx.Done():
		return status.Down, "cut off", ctx.Err()
	}
	select {
	case a := <-s.answers:
		return a.state, a.problem, a.err
	case <-ctx.Done():
		return status.Down, "does not answer", ctx.Err()
	}
}

// say answers one look and waits for the next, so that the answer is noted.
func (s *scripted) say(a answer) {
	s.answers <- a
	<-s.looks
}

// run runs a Monitor until the test ends.
func run(t *testing.T, config status.Config) (*status.Monitor, *lines) {
	t.Helper()
	log := &lines{}
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	if config.Now == nil {
		config.Now = time.Now
	}
	config.Interval = time.Millisecond
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	monitor := status.New(config)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- monitor.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return monitor, log
}

func of(t *testing.T, monitor *status.Monitor, name string) *statusv1.Dependency {
	t.Helper()
	response, err := monitor.GetStatus(t.Context(), connect.NewRequest(&statusv1.GetStatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, dependency := range response.Msg.GetDependencies() {
		if dependency.GetName() == name {
			return dependency
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// A change is one line, whatever the number of looks; since is when it changed.
func TestAChangeOfStateIsOneLine(t *testing.T) {
	t.Parallel()
	database := newScripted()
	monitor, log := run(t, status.Config{Checks: []status.Check{{Name: "postgres", Vital: true, Probe: database.probe}}})
	<-database.looks
	if got := of(t, monitor, "postgres"); got.GetState() != status.Down || got.GetProblem() != "not looked at yet" {
		t.Errorf("before the first look: %v", got)
	}
	up, down := answer{state: status.Up}, answer{status.Down, "does not answer", errors.New("no route to 10.0.0.1")}
	database.say(up)
	database.say(up)
	first := of(t, monitor, "postgres")
	if first.GetState() != status.Up || !first.GetVital() || first.GetProblem() != "" || log.String() != "" {
		t.Fatalf("at work from the start: %v, logged %q", first, log)
	}
	database.say(down)
	database.say(down)
	second := of(t, monitor, "postgres")
	if second.GetState() != status.Down || second.GetProblem() != "does not answer" || !second.GetSince().AsTime().After(first.GetSince().AsTime()) {
		t.Errorf("down: %v", second)
	}
	database.say(answer{status.Degraded, "all connections are in use", nil})
	database.say(up)
	database.say(up)
	last := of(t, monitor, "postgres")
	if last.GetState() != status.Up || !last.GetSince().AsTime().After(second.GetSince().AsTime()) {
		t.Errorf("up again: %v", last)
	}
	if n := strings.Count(log.String(), "\n"); n != 3 || strings.Count(log.String(), "no route") != 1 {
		t.Errorf("three changes, %d lines:\n%s", n, log)
	}
}

// How far a projection is, is told as it is when somebody asks, not as it was at
// the last look.
func TestAProjectionTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	database := newScripted()
	lag := int64(0)
	monitor, _ := run(t, status.Config{Checks: []status.Check{
		{Name: "projection access", Probe: database.probe, Projection: func() *statusv1.ProjectionHealth {
			return &statusv1.ProjectionHealth{LagEvents: lag, Generation: 2}
		}},
		{Name: "postgres", Probe: database.probe},
	}})
	for _, lag = range []int64{7, 0} {
		if got := of(t, monitor, "projection access").GetProjection(); got.GetLagEvents() != lag || got.GetGeneration() != 2 {
			t.Errorf("%d events behind: %v", lag, got)
		}
	}
	if got := of(t, monitor, "postgres"); got.GetProjection() != nil {
		t.Errorf("what is no projection: %v", got)
	}
}

// What is down at the start is told when it stays so: services that start
// together are not there for one another at first.
func TestWhatIsDownAtTheStartIsALineIfItStaysSo(t *testing.T) {
	t.Parallel()
	broker, identity := newScripted(), newScripted()
	_, log := run(t, status.Config{Checks: []status.Check{{Name: "rabbitmq", Probe: broker.probe}, {Name: "identity", Probe: identity.probe}}})
	<-broker.looks
	<-identity.looks
	broker.say(answer{status.Down, "not connected", nil})
	identity.say(answer{status.Down, "does not answer", nil})
	identity.say(answer{state: status.Up})
	if log.String() != "" {
		t.Errorf("logged %q", log)
	}
	broker.say(answer{status.Down, "not connected", nil})
	broker.say(answer{status.Down, "not connected", nil})
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "a dependency is down") {
		t.Errorf("logged %q", log)
	}
}

// One dependency that hangs holds up neither the others nor who asks.
func TestAProbeThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	storage, database := newScripted(), newScripted()
	monitor, _ := run(t, status.Config{Checks: []status.Check{
		{Name: "s3", Probe: storage.probe}, {Name: "postgres", Probe: database.probe},
	}})
	<-storage.looks // and gets no answer
	<-database.looks
	database.say(answer{state: status.Up})
	if got := of(t, monitor, "postgres"); got.GetState() != status.Up {
		t.Errorf("postgres: %v", got)
	}
	if got := of(t, monitor, "s3"); got.GetState() != status.Down {
		t.Errorf("s3: %v", got)
	}
}

// A probe that does not end with its context counts as no answer, also when it
// had answered well before.
func TestALookThatDoesNotEndIsNoAnswer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	storage := newScripted()
	monitor, _ := run(t, status.Config{
		Checks:  []status.Check{{Name: "s3", Probe: storage.probe}},
		Timeout: time.Minute, // of the real clock: the probe is still in its look
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		},
	})
	<-storage.looks
	storage.say(answer{state: status.Up})
	if got := of(t, monitor, "s3"); got.GetState() != status.Up {
		t.Fatalf("after an answer: %v", got)
	}
	mu.Lock()
	now = now.Add(3 * time.Minute)
	mu.Unlock()
	if got := of(t, monitor, "s3"); got.GetState() != status.Down || got.GetProblem() != "does not answer" {
		t.Errorf("three minutes into a look: %v", got)
	}
}

// Each look has a time-out.
func TestALookIsBounded(t *testing.T) {
	t.Parallel()
	looked := make(chan time.Duration, 1)
	run(t, status.Config{Timeout: time.Hour, Checks: []status.Check{{Name: "s3", Probe: func(ctx context.Context) (status.State, string, error) {
		deadline, _ := ctx.Deadline()
		select {
		case looked <- time.Until(deadline):
		default:
		}
		return status.Up, "", nil
	}}}})
	if left := <-looked; left <= 0 || left > time.Hour {
		t.Errorf("the probe has %v", left)
	}
}

// checker is a service's health.
type checker struct {
	status grpchealth.Status
	err    error
}

func (c checker) Check(context.Context, *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	return &grpchealth.CheckResponse{Status: c.status}, c.err
}

func TestProbesOfServices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		checker checker
		want    status.State
	}{
		"ready":                   {checker{status: grpchealth.StatusServing}, status.Up},
		"not ready":               {checker{status: grpchealth.StatusNotServing}, status.Degraded},
		"away":                    {checker{err: connect.NewError(connect.CodeUnavailable, errors.New("dial 10.0.0.1"))}, status.Down},
		"without a health of its": {checker{err: connect.NewError(connect.CodeUnimplemented, nil)}, status.Up},
	} {
		state, problem, _ := status.Service(test.checker)(t.Context())
		if state != test.want || strings.Contains(problem, "10.0.0.1") || (problem == "") != (state == status.Up) {
			t.Errorf("%s: %v, %q", name, state, problem)
		}
	}
	state, problem, err := status.Answers(func(context.Context) error { return errors.New("secret-host:9000") })(t.Context())
	if state != status.Down || strings.Contains(problem, "secret-host") || err == nil {
		t.Errorf("what does not answer: %v, %q, %v", state, problem, err)
	}
}

// The service says who may ask.
func TestWhoMayAskIsDeclared(t *testing.T) {
	t.Parallel()
	if err := access.Declared(statusv1.File_muster_status_v1_status_proto.Services().ByName("StatusService")); err != nil {
		t.Error(err)
	}
}
