package status

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
)

const (
	// interval between two looks at a dependency, a fifth more or less.
	interval = 5 * time.Second
	// timeout of a look.
	timeout = 2 * time.Second
	// unknown is the problem of what nobody has looked at yet.
	unknown = "not looked at yet"
)

// State of a dependency.
type State = statusv1.State

// The states.
const (
	Up       = statusv1.State_STATE_UP
	Degraded = statusv1.State_STATE_DEGRADED
	Down     = statusv1.State_STATE_DOWN
)

// Probe looks at a dependency, and ends with its context. The problem says in a
// few words what is wrong; err is for the log. It is a type of basic ones and
// proto's, so that packages that do not know this one can have probes.
type Probe = func(ctx context.Context) (state State, problem string, err error)

// Check is a dependency.
type Check struct {
	// Name for operators, for example "postgres".
	Name string
	// Vital tells that the service can do nothing without it.
	Vital bool
	// Probe looks at it.
	Probe Probe
	// Projection tells more where the dependency is a projection; nil for any
	// other. It is asked with each Status, so it waits for nothing.
	Projection func() *statusv1.ProjectionHealth
}

// Config of a Monitor.
type Config struct {
	// Checks are the dependencies, each with a name of its own.
	Checks []Check
	// Logger gets a line when a dependency changes its state.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Interval between two looks; 5 s if 0.
	Interval time.Duration
	// Timeout of a look; 2 s if 0.
	Timeout time.Duration
}

// Monitor looks at dependencies, and serves what it saw last. It is safe for
// concurrent use.
type Monitor struct {
	checks   []Check
	logger   *slog.Logger
	now      func() time.Time
	interval time.Duration
	timeout  time.Duration
	started  time.Time

	mu   sync.Mutex
	seen []seen // in the order of checks
}

// seen is what is known of a dependency.
type seen struct {
	state   State
	problem string
	latency time.Duration
	since   time.Time
	// asking is since when a look has been under way; zero while none is.
	asking time.Time
	// looked tells that there was a look; told is the state that the log knows of.
	looked bool
	told   State
}

var _ statusv1connect.StatusServiceHandler = (*Monitor)(nil)

// New makes a Monitor; it looks at nothing before Run.
func New(config Config) *Monitor {
	m := &Monitor{
		checks:   slices.SortedFunc(slices.Values(config.Checks), func(a, b Check) int { return cmp.Compare(a.Name, b.Name) }),
		logger:   config.Logger,
		now:      config.Now,
		interval: cmp.Or(config.Interval, interval),
		timeout:  cmp.Or(config.Timeout, timeout),
		started:  config.Now(),
		seen:     make([]seen, len(config.Checks)),
	}
	for i := range m.seen {
		m.seen[i] = seen{state: Down, problem: unknown, since: m.started, told: Up}
	}
	return m
}

// Run looks at all dependencies, each by itself, until ctx ends; it then gives
// nil. Call it once.
func (m *Monitor) Run(ctx context.Context) error {
	var looking sync.WaitGroup
	for i := range m.checks {
		looking.Go(func() { m.watch(ctx, i) })
	}
	looking.Wait()
	return nil
}

func (m *Monitor) watch(ctx context.Context, i int) {
	for {
		m.look(ctx, i)
		// Jitter, so that services that were started together do not look together.
		next := time.NewTimer(m.interval*4/5 + rand.N(m.interval*2/5))
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
	}
}

// look asks a probe and notes its answer; the one of a probe that was cut off by
// the end of ctx says nothing.
func (m *Monitor) look(ctx context.Context, i int) {
	began := m.now()
	m.mu.Lock()
	m.seen[i].asking = began
	m.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	state, problem, err := m.checks[i].Probe(bounded)
	if ctx.Err() != nil {
		return
	}
	now := m.now()
	m.mu.Lock()
	before := m.seen[i]
	after := seen{state: state, problem: problem, latency: now.Sub(began), since: before.since, looked: true, told: state}
	if before.state != state || !before.looked {
		after.since = now
	}
	if !before.looked {
		// Services that start together are not there for one another at first.
		after.told = before.told
	}
	m.seen[i] = after
	m.mu.Unlock()
	if before.told != after.told {
		m.tell(ctx, m.checks[i], before, after, err)
	}
}

// tell logs a change.
func (m *Monitor) tell(ctx context.Context, check Check, before, after seen, err error) {
	attrs := []slog.Attr{slog.String("dependency", check.Name), slog.Bool("vital", check.Vital)}
	if after.state == Up {
		m.logger.LogAttrs(ctx, slog.LevelInfo, "a dependency works again", append(attrs, slog.Duration("after", after.since.Sub(before.since)))...)
		return
	}
	what := "a dependency is down"
	if after.state == Degraded {
		what = "a dependency works in part"
	}
	attrs = append(attrs, slog.String("problem", after.problem))
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	m.logger.LogAttrs(ctx, slog.LevelWarn, what, attrs...)
}

// Status is what was seen last, for the service itself. A look that lasts longer
// than it may counts as no answer.
func (m *Monitor) Status() *statusv1.GetStatusResponse {
	now := m.now()
	response := &statusv1.GetStatusResponse{StartedAt: timestamppb.New(m.started)}
	for i, check := range m.checks {
		m.mu.Lock()
		last := m.current(i, now)
		m.mu.Unlock()
		dependency := &statusv1.Dependency{
			Name:    check.Name,
			State:   last.state,
			Vital:   check.Vital,
			Latency: durationpb.New(last.latency),
			Since:   timestamppb.New(last.since),
			Problem: last.problem,
		}
		if check.Projection != nil {
			dependency.Projection = check.Projection()
		}
		response.Dependencies = append(response.Dependencies, dependency)
	}
	return response
}

// current is what counts now; the caller holds the lock.
func (m *Monitor) current(i int, now time.Time) seen {
	last := m.seen[i]
	if asked := now.Sub(last.asking); !last.asking.IsZero() && asked > 2*m.timeout {
		return seen{state: Down, problem: "does not answer", latency: asked, since: last.asking}
	}
	return last
}

// GetStatus serves Status.
func (m *Monitor) GetStatus(context.Context, *connect.Request[statusv1.GetStatusRequest]) (*connect.Response[statusv1.GetStatusResponse], error) {
	return connect.NewResponse(m.Status()), nil
}

// Metrics gives how each dependency is, for package metrics.
func (m *Monitor) Metrics(emit func(name, help string, value float64, labels ...string)) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, check := range m.checks {
		last := m.current(i, now)
		value := 0.0
		switch last.state {
		case Up:
			value = 1
		case Degraded:
			value = 0.5
		}
		emit("muster_dependency_up", "How a part that the service depends on is: 1 works, 0.5 works in part, 0 does not answer.", value, "dependency", check.Name)
		emit("muster_dependency_latency_seconds", "How long the part took to answer when it was looked at last.", last.latency.Seconds(), "dependency", check.Name)
	}
}
