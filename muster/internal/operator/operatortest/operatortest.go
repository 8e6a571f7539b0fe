// Package operatortest is a Muster without anything in it: the ProjectionService
// of each service, and the EventViewService of those that keep a log, over mTLS as
// in a real one, with answers that a test writes.
package operatortest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// World is three services that run until their test ends.
type World struct {
	// Places are where they are.
	Places operator.Places
	// Services by name: credentials has `access`, identity `avatars` and `users`,
	// media `files`.
	Services map[string]*Service
	// Logs of identity and media.
	Logs map[string]*Log
}

// Begun is when all operations begin.
func Begun() time.Time { return time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC) }

// Start starts them.
func Start(t *testing.T) *World {
	t.Helper()
	dir := t.TempDir()
	projections := map[string][]string{"identity": {"avatars", "users"}, "credentials": {"access"}, "media": {"files"}}
	names := []string{"operator"}
	for name := range projections {
		names = append(names, name)
	}
	if err := certificate.MakeAuthority(dir, names...); err != nil {
		t.Fatal(err)
	}
	w := &World{Places: operator.Places{Certificates: dir, URLs: map[string]string{}}, Services: map[string]*Service{}, Logs: map[string]*Log{"identity": newLog("identity"), "media": newLog("media")}}
	for name, has := range projections {
		s := &Service{}
		for _, projection := range has {
			s.projections = append(s.projections, &musterv1.Projection{
				Name: projection, Service: name, Log: "identity", State: musterv1.ProjectionState_PROJECTION_STATE_LIVE, Generation: 1,
				Generations: []*musterv1.Generation{{Number: 1, State: musterv1.GenerationState_GENERATION_STATE_SERVING}},
			})
		}
		w.Services[name] = s
		w.Places.URLs[name] = "https://" + run(t, dir, name, s, w.Logs[name])
	}
	return w
}

// run serves a service as a real one does, behind the same gate.
func run(t *testing.T, dir, name string, s *Service, log *Log) (address string) {
	t.Helper()
	self, err := certificate.Load(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	options := serve.Interceptors(serve.Config{Logger: logger})
	mux.Handle(projectionv1connect.NewProjectionServiceHandler(s, options))
	if log != nil {
		mux.Handle(eventlogv1connect.NewEventViewServiceHandler(log, options))
	}
	server, err := serve.New(serve.ServerConfig{Name: name, Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return server.Addr()
}

// Service is one of them. It is safe for concurrent use.
type Service struct {
	projectionv1connect.UnimplementedProjectionServiceHandler

	mu          sync.Mutex
	projections []*musterv1.Projection
	parked      []*musterv1.GetParkedEventResponse
	steps       []Step
	failure     error
	lingering   int
	retried     map[string]*musterv1.RetryParkedEventResponse
	skipped     []*musterv1.SkippedEvent
}

var _ projectionv1connect.ProjectionServiceHandler = (*Service)(nil)

// Step changes a projection that an operation is under way on, each time that
// somebody looks. An error is the answer to that look.
type Step func(*musterv1.Projection) error

// Generations counts those of a projection.
func (s *Service) Generations(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range s.projections {
		if each.GetName() == name {
			return len(each.GetGenerations())
		}
	}
	return 0
}

// Then says what is seen after an operation has begun, look by look.
func (s *Service) Then(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = steps
}

// Fail answers every call with this error from now on, nil with none.
func (s *Service) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

// Park parks an event; retried is what a retry of its stream will say, nil for
// one that applies all.
func (s *Service) Park(event *musterv1.GetParkedEventResponse, retried *musterv1.RetryParkedEventResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked = append(s.parked, event)
	if s.retried == nil {
		s.retried = map[string]*musterv1.RetryParkedEventResponse{}
	}
	s.retried[event.GetEvent().GetStream()] = retried
}

// Skipped are the events that were skipped, the last in front.
func (s *Service) Skipped() []*musterv1.SkippedEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.skipped)
}

// ListProjections takes the next step.
func (s *Service) ListProjections(context.Context, *connect.Request[musterv1.ListProjectionsRequest]) (*connect.Response[musterv1.ListProjectionsResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range s.projections {
		if each.GetOperation() != nil && len(s.steps) > 0 {
			step := s.steps[0]
			s.steps = s.steps[1:]
			if err := step(each); err != nil {
				return nil, err
			}
		}
	}
	if s.failure != nil {
		return nil, s.failure
	}
	for _, each := range s.projections {
		if each.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_CANCELLED {
			continue
		}
		if s.lingering--; s.lingering < 0 {
			each.Generations = each.GetGenerations()[:1]
		}
	}
	answer := &musterv1.ListProjectionsResponse{}
	for _, each := range s.projections {
		answer.Projections = append(answer.Projections, proto.CloneOf(each))
	}
	return connect.NewResponse(answer), nil
}

// RebuildProjection begins generation 2, if nothing is under way.
func (s *Service) RebuildProjection(_ context.Context, request *connect.Request[musterv1.RebuildProjectionRequest]) (*connect.Response[musterv1.RebuildProjectionResponse], error) {
	operation, err := s.begin(request.Msg.GetName(), musterv1.OperationKind_OPERATION_KIND_REBUILD, musterv1.GenerationState_GENERATION_STATE_BUILDING)
	return connect.NewResponse(&musterv1.RebuildProjectionResponse{Operation: operation}), err
}

// VerifyProjection is like it.
func (s *Service) VerifyProjection(_ context.Context, request *connect.Request[musterv1.VerifyProjectionRequest]) (*connect.Response[musterv1.VerifyProjectionResponse], error) {
	operation, err := s.begin(request.Msg.GetName(), musterv1.OperationKind_OPERATION_KIND_VERIFY, musterv1.GenerationState_GENERATION_STATE_VERIFYING)
	return connect.NewResponse(&musterv1.VerifyProjectionResponse{Operation: operation}), err
}

func (s *Service) begin(name string, kind musterv1.OperationKind, state musterv1.GenerationState) (*musterv1.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.find(name)
	if err != nil {
		return nil, err
	}
	if p.GetOperation().GetState() == musterv1.OperationState_OPERATION_STATE_RUNNING {
		return nil, reason.New(musterv1.Reason_REASON_OPERATION_UNDER_WAY, reason.Message("the rebuild of access into generation 2 is under way"))
	}
	p.Operation = &musterv1.Operation{
		Kind: kind, Projection: name, Generation: 2, State: musterv1.OperationState_OPERATION_STATE_RUNNING,
		StartedAt: timestamppb.New(Begun()), StartedBy: "service-operator",
	}
	p.Generations = append(p.Generations, &musterv1.Generation{Number: 2, State: state})
	return proto.CloneOf(p.GetOperation()), nil
}

// CancelOperation gives the operation up; what it made is still there for two looks.
func (s *Service) CancelOperation(_ context.Context, request *connect.Request[musterv1.CancelOperationRequest]) (*connect.Response[musterv1.CancelOperationResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.find(request.Msg.GetName())
	if err != nil {
		return nil, err
	}
	if p.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_RUNNING {
		return nil, reason.New(musterv1.Reason_REASON_NOTHING_UNDER_WAY)
	}
	p.Operation.State = musterv1.OperationState_OPERATION_STATE_CANCELLED
	s.lingering = 2
	p.Generations[1].State = musterv1.GenerationState_GENERATION_STATE_DROPPING
	return connect.NewResponse(&musterv1.CancelOperationResponse{}), nil
}

// RollbackProjection lets the former generation serve, and keeps the other one.
func (s *Service) RollbackProjection(_ context.Context, request *connect.Request[musterv1.RollbackProjectionRequest]) (*connect.Response[musterv1.RollbackProjectionResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, former, err := s.former(request.Msg.GetName(), request.Msg.GetGeneration())
	if err != nil {
		return nil, err
	}
	for _, each := range p.GetGenerations() {
		if each.GetState() == musterv1.GenerationState_GENERATION_STATE_SERVING {
			each.State = musterv1.GenerationState_GENERATION_STATE_FORMER
		}
	}
	former.State, p.Generation = musterv1.GenerationState_GENERATION_STATE_SERVING, former.GetNumber()
	return connect.NewResponse(&musterv1.RollbackProjectionResponse{Generation: former.GetNumber()}), nil
}

// DropGeneration deletes the former generation at once.
func (s *Service) DropGeneration(_ context.Context, request *connect.Request[musterv1.DropGenerationRequest]) (*connect.Response[musterv1.DropGenerationResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, former, err := s.former(request.Msg.GetName(), request.Msg.GetGeneration())
	if err != nil {
		return nil, err
	}
	p.Generations = slices.DeleteFunc(p.GetGenerations(), func(each *musterv1.Generation) bool { return each == former })
	return connect.NewResponse(&musterv1.DropGenerationResponse{Generation: former.GetNumber()}), nil
}

// former finds the former generation of a projection, if it has the number that
// is asked for; 0 asks for any. It is called with mu held.
func (s *Service) former(name string, number int64) (*musterv1.Projection, *musterv1.Generation, error) {
	p, err := s.find(name)
	if err != nil {
		return nil, nil, err
	}
	for _, each := range p.GetGenerations() {
		if each.GetState() == musterv1.GenerationState_GENERATION_STATE_FORMER && (number == 0 || number == each.GetNumber()) {
			return p, each, nil
		}
	}
	return nil, nil, reason.New(musterv1.Reason_REASON_NO_FORMER_GENERATION)
}

// ListParkedEvents gives what was parked.
func (s *Service) ListParkedEvents(_ context.Context, request *connect.Request[musterv1.ListParkedEventsRequest]) (*connect.Response[musterv1.ListParkedEventsResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, s.failure
	}
	answer := &musterv1.ListParkedEventsResponse{}
	for _, each := range s.parked {
		if of := request.Msg.GetProjection(); of == "" || of == each.GetEvent().GetProjection() {
			answer.Events = append(answer.Events, proto.CloneOf(each.GetEvent()))
		}
	}
	return connect.NewResponse(answer), nil
}

// GetParkedEvent gives one.
func (s *Service) GetParkedEvent(_ context.Context, request *connect.Request[musterv1.GetParkedEventRequest]) (*connect.Response[musterv1.GetParkedEventResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.place(request.Msg.GetProjection(), request.Msg.GetStream())
	if i < 0 {
		return nil, notParked()
	}
	return connect.NewResponse(proto.CloneOf(s.parked[i])), nil
}

// RetryParkedEvent does what Park was told.
func (s *Service) RetryParkedEvent(_ context.Context, request *connect.Request[musterv1.RetryParkedEventRequest]) (*connect.Response[musterv1.RetryParkedEventResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.place(request.Msg.GetProjection(), request.Msg.GetStream())
	if i < 0 {
		return nil, notParked()
	}
	if told := s.retried[request.Msg.GetStream()]; told != nil {
		return connect.NewResponse(told), nil
	}
	waiting := s.parked[i].GetEvent().GetWaiting()
	s.parked = slices.Delete(s.parked, i, i+1)
	return connect.NewResponse(&musterv1.RetryParkedEventResponse{Applied: waiting}), nil
}

// SkipParkedEvent skips the event of that version only.
func (s *Service) SkipParkedEvent(_ context.Context, request *connect.Request[musterv1.SkipParkedEventRequest]) (*connect.Response[musterv1.SkipParkedEventResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.place(request.Msg.GetProjection(), request.Msg.GetStream())
	if i < 0 {
		return nil, notParked()
	}
	if parked := s.parked[i].GetEvent().GetVersion(); parked != request.Msg.GetVersion() {
		return nil, reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Field("version"), reason.Message(fmt.Sprintf("The event of the stream that is parked is version %d", parked)))
	}
	event := s.parked[i].GetEvent()
	s.skipped = append([]*musterv1.SkippedEvent{{
		Projection: event.GetProjection(), Service: event.GetService(), Log: event.GetLog(), Stream: event.GetStream(), Version: event.GetVersion(),
		EventId: event.GetEventId(), Type: event.GetType(), Reason: request.Msg.GetReason(),
		SkippedAt: timestamppb.New(Begun().Add(time.Duration(len(s.skipped)) * time.Minute)), SkippedBy: "service-operator",
	}}, s.skipped...)
	s.parked = slices.Delete(s.parked, i, i+1)
	return connect.NewResponse(&musterv1.SkipParkedEventResponse{Applied: event.GetWaiting() - 1}), nil
}

// ListSkippedEvents gives what was skipped.
func (s *Service) ListSkippedEvents(_ context.Context, request *connect.Request[musterv1.ListSkippedEventsRequest]) (*connect.Response[musterv1.ListSkippedEventsResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, s.failure
	}
	answer := &musterv1.ListSkippedEventsResponse{}
	for _, each := range s.skipped {
		if of := request.Msg.GetProjection(); of == "" || of == each.GetProjection() {
			answer.Events = append(answer.Events, proto.CloneOf(each))
		}
	}
	return connect.NewResponse(answer), nil
}

func notParked() error {
	return reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Field("stream"), reason.Message("No such event is parked"))
}

// place and find are called with mu held.
func (s *Service) place(projection, stream string) int {
	return slices.IndexFunc(s.parked, func(each *musterv1.GetParkedEventResponse) bool {
		return each.GetEvent().GetProjection() == projection && each.GetEvent().GetStream() == stream
	})
}

func (s *Service) find(name string) (*musterv1.Projection, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	for _, each := range s.projections {
		if each.GetName() == name {
			return each, nil
		}
	}
	return nil, reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Field("name"), reason.Message("There is no such projection"))
}

// The steps that most tests are made of.

// Reads tells how far the operation is.
func Reads(done, left int64, rate float64) Step {
	return func(p *musterv1.Projection) error {
		p.Operation.EventsDone, p.Operation.EventsLeft, p.Operation.EventsPerSecond = done, left, rate
		return nil
	}
}

// Away answers a look as a service whose database is away.
func Away(*musterv1.Projection) error { return reason.New(musterv1.Reason_REASON_UNAVAILABLE) }

// StartsOver makes the operation go on from the first event, into generation 3, as
// after a crash of PostgreSQL.
func StartsOver(p *musterv1.Projection) error {
	p.Operation.Generation, p.Operation.EventsDone, p.Operation.EventsLeft, p.Operation.EventsPerSecond = 3, 0, 0, 0
	p.Generations[1] = &musterv1.Generation{Number: 3, State: p.GetGenerations()[1].GetState()}
	return nil
}

// Serves ends a rebuild: what it has made serves.
func Serves(p *musterv1.Projection) error {
	p.Operation.State = musterv1.OperationState_OPERATION_STATE_DONE
	p.Operation.FinishedAt = timestamppb.New(Begun().Add(131 * time.Second))
	p.Generation = p.GetOperation().GetGeneration()
	p.Generations = []*musterv1.Generation{
		{Number: 1, State: musterv1.GenerationState_GENERATION_STATE_FORMER},
		{Number: p.GetGeneration(), State: musterv1.GenerationState_GENERATION_STATE_SERVING},
	}
	return nil
}

// Finds ends a verification.
func Finds(found *musterv1.Verification) Step {
	return func(p *musterv1.Projection) error {
		p.Operation.State = musterv1.OperationState_OPERATION_STATE_DONE
		p.Operation.FinishedAt = timestamppb.New(Begun().Add(4 * time.Second))
		p.Operation.Verification = found
		p.Generations = p.Generations[:1]
		return nil
	}
}

// Fails ends an operation with a problem.
func Fails(problem string) Step {
	return func(p *musterv1.Projection) error {
		p.Operation.State = musterv1.OperationState_OPERATION_STATE_FAILED
		p.Operation.FinishedAt = timestamppb.New(Begun().Add(4 * time.Second))
		p.Operation.Problem = problem
		p.Generations = p.Generations[:1]
		return nil
	}
}

// Stays changes nothing.
func Stays(*musterv1.Projection) error { return nil }
