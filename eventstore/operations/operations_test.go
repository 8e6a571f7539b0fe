package operations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/operations"
	"github.com/muster-id/muster/eventstore/projection"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

var (
	_ operations.Projection = (*fake)(nil)
	_ operations.Projection = (*projection.Projector)(nil)
)

// fake is a projection that answers as the test says, and remembers who asked.
type fake struct {
	name     string
	overview projection.Overview
	begun    projection.Operation
	parked   []projection.Parked
	skipped  []projection.Skipped
	event    eventstore.Event
	outcome  projection.Outcome
	err      error
	asked    []string
}

func (f *fake) Name() string { return f.name }

func (f *fake) Overview(context.Context) (projection.Overview, error) { return f.overview, f.err }

func (f *fake) Rebuild(_ context.Context, by string) (projection.Operation, error) {
	f.asked = append(f.asked, "rebuild by "+by)
	return f.begun, f.err
}

func (f *fake) Verify(_ context.Context, by string) (projection.Operation, error) {
	f.asked = append(f.asked, "verify by "+by)
	return f.begun, f.err
}

func (f *fake) Cancel(context.Context) error {
	f.asked = append(f.asked, "cancel")
	return f.err
}

func (f *fake) Rollback(_ context.Context, generation int64) (int64, error) {
	f.asked = append(f.asked, fmt.Sprintf("rollback %d", generation))
	return 1, f.err
}

func (f *fake) Drop(_ context.Context, generation int64) (int64, error) {
	f.asked = append(f.asked, fmt.Sprintf("drop %d", generation))
	return 2, f.err
}

func (f *fake) Parked(context.Context) ([]projection.Parked, error) { return f.parked, f.err }

func (f *fake) ParkedEvent(_ context.Context, stream string) (projection.Parked, eventstore.Event, error) {
	f.asked = append(f.asked, "show "+stream)
	if f.err != nil {
		return projection.Parked{}, eventstore.Event{}, f.err
	}
	return f.parked[0], f.event, nil
}

func (f *fake) Retry(_ context.Context, stream string) (projection.Outcome, error) {
	f.asked = append(f.asked, "retry "+stream)
	return f.outcome, f.err
}

func (f *fake) Skip(_ context.Context, stream string, version int64, reason, by string) (projection.Outcome, error) {
	f.asked = append(f.asked, fmt.Sprintf("skip %s %d by %s: %s", stream, version, by, reason))
	return f.outcome, f.err
}

func (f *fake) Skipped(context.Context) ([]projection.Skipped, error) { return f.skipped, f.err }

type actorKey struct{}

// as is a call of somebody.
func as(t *testing.T, actor string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), actorKey{}, actor)
}

func serve(projections ...operations.Projection) *operations.Handler {
	actor := func(ctx context.Context) string {
		by, _ := ctx.Value(actorKey{}).(string)
		return by
	}
	return operations.NewHandler("credentials", actor, projections...)
}

func same(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", prototext.Format(got), prototext.Format(want))
	}
}

var (
	at      = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	eventID = uuid.MustParse("01997c64-02b1-7c55-9a3e-4f1d2c7b8e90")
)

func parked(stream string, minutes int) projection.Parked {
	return projection.Parked{
		Generation: 2, Log: "identity", Stream: stream, Version: 3, EventID: eventID, Type: "test.Happened",
		OccurredAt: at, ParkedAt: at.Add(time.Duration(minutes) * time.Minute), Waiting: 4, Attempts: 5, Problem: "no key",
	}
}

func toldOf(name, stream string, minutes int) *musterv1.ParkedEvent {
	return &musterv1.ParkedEvent{
		Projection: name, Service: "credentials", Generation: 2, Log: "identity", Stream: stream, Version: 3, EventId: eventID.String(),
		Type: "test.Happened", OccurredAt: timestamppb.New(at), ParkedAt: timestamppb.New(at.Add(time.Duration(minutes) * time.Minute)),
		Waiting: 4, Attempts: 5, Problem: "no key",
	}
}

func TestAllThatIsKnownOfAProjectionIsTold(t *testing.T) {
	t.Parallel()
	access := &fake{name: "access", overview: projection.Overview{
		Stats: projection.Stats{
			State: projection.Live, LastError: "dial canary", HeldUp: "events are not applied", Generation: 2, LagEvents: 7, Lag: 3 * time.Second,
			Rate: 41.5, Parked: 1, OldestParked: at.Add(time.Minute), Unknown: map[string]int64{"test.Newer": 3, "test.New": 1},
		},
		Log: "identity",
		Generations: []projection.Generation{
			{Number: 1, State: projection.Former, BegunAt: at},
			{Number: 2, State: projection.Serving, BegunAt: at.Add(time.Hour)},
		},
		Operation: &projection.Operation{
			Kind: projection.Verify, Projection: "access", Generation: 3, State: projection.Done, StartedAt: at, StartedBy: "service-operator",
			FinishedAt: at.Add(time.Minute), EventsDone: 100, Rate: 50, Problem: "none",
			Verification: &projection.Verification{Rows: 10, Differing: 2, Differences: []projection.Difference{
				{Table: "read.access", Key: "user_id=1", Kind: projection.Changed, Columns: []projection.ColumnDifference{{Column: "roles", Serving: `["admin"]`, Rebuilt: `[]`}}},
				{Table: "read.access", Key: "user_id=2", Kind: projection.Surplus},
			}},
		},
	}}
	blank := &fake{name: "a blank one", overview: projection.Overview{Stats: projection.Stats{LastError: "dial canary"}}}
	got, err := serve(access, blank).ListProjections(t.Context(), connect.NewRequest(&musterv1.ListProjectionsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Msg, &musterv1.ListProjectionsResponse{Projections: []*musterv1.Projection{
		{Name: "a blank one", Service: "credentials", Problem: "the broker does not deliver", Lag: durationpb.New(0)}, // by name, and without moments that never were
		{
			Name: "access", Service: "credentials", Log: "identity", State: musterv1.ProjectionState_PROJECTION_STATE_LIVE, Problem: "events are not applied",
			Generation: 2, LagEvents: 7, Lag: durationpb.New(3 * time.Second), EventsPerSecond: 41.5, Parked: 1,
			OldestParkedAt: timestamppb.New(at.Add(time.Minute)),
			UnknownTypes:   []*musterv1.UnknownType{{Type: "test.New", Events: 1}, {Type: "test.Newer", Events: 3}},
			Generations: []*musterv1.Generation{
				{Number: 1, State: musterv1.GenerationState_GENERATION_STATE_FORMER, BegunAt: timestamppb.New(at)},
				{Number: 2, State: musterv1.GenerationState_GENERATION_STATE_SERVING, BegunAt: timestamppb.New(at.Add(time.Hour))},
			},
			Operation: &musterv1.Operation{
				Kind: musterv1.OperationKind_OPERATION_KIND_VERIFY, Projection: "access", Generation: 3, State: musterv1.OperationState_OPERATION_STATE_DONE,
				StartedAt: timestamppb.New(at), StartedBy: "service-operator", FinishedAt: timestamppb.New(at.Add(time.Minute)),
				EventsDone: 100, EventsPerSecond: 50, Problem: "none",
				Verification: &musterv1.Verification{Rows: 10, Differing: 2, Differences: []*musterv1.Difference{
					{Table: "read.access", Key: "user_id=1", Kind: musterv1.DifferenceKind_DIFFERENCE_KIND_CHANGED, Columns: []*musterv1.ColumnDifference{{Column: "roles", Serving: `["admin"]`, Rebuilt: `[]`}}},
					{Table: "read.access", Key: "user_id=2", Kind: musterv1.DifferenceKind_DIFFERENCE_KIND_SURPLUS},
				}},
			},
		},
	}})
}

func TestHowLongIsLeftIsToldWhereItIsKnown(t *testing.T) {
	t.Parallel()
	running := projection.Operation{Kind: projection.Rebuild, State: projection.Running, StartedAt: at, EventsLeft: 100}
	for rate, want := range map[float64]*durationpb.Duration{0: nil, 50: durationpb.New(2 * time.Second)} {
		running.Rate = rate
		got, err := serve(&fake{name: "access", begun: running}).
			RebuildProjection(t.Context(), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"}))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got.Msg.GetOperation().GetTimeLeft(), want)
		if got.Msg.GetOperation().GetFinishedAt() != nil || got.Msg.GetOperation().GetVerification() != nil {
			t.Errorf("it has not ended: %v", got.Msg)
		}
	}
}

// Each value of the engine's has one of the API's, and the other way round.
func TestEveryStateAndKindIsTold(t *testing.T) {
	t.Parallel()
	for _, state := range []projection.State{projection.Live, projection.CatchingUp, projection.Failing, projection.RebuildNeeded} {
		for _, generation := range []projection.GenerationState{projection.Serving, projection.Building, projection.Verifying, projection.Former, projection.Dropping} {
			for _, end := range []projection.OperationState{projection.Running, projection.Done, projection.Failed, projection.Cancelled} {
				for _, difference := range []projection.DifferenceKind{projection.Surplus, projection.Missing, projection.Changed} {
					f := &fake{name: "access", overview: projection.Overview{
						Stats:       projection.Stats{State: state},
						Generations: []projection.Generation{{State: generation}},
						Operation: &projection.Operation{
							Kind: projection.Rebuild, State: end,
							Verification: &projection.Verification{Differences: []projection.Difference{{Kind: difference}}},
						},
					}}
					got, err := serve(f).ListProjections(t.Context(), connect.NewRequest(&musterv1.ListProjectionsRequest{}))
					if err != nil {
						t.Fatal(err)
					}
					told := got.Msg.GetProjections()[0]
					for name, value := range map[string]fmt.Stringer{
						string(state):      told.GetState(),
						string(generation): told.GetGenerations()[0].GetState(),
						string(end):        told.GetOperation().GetState(),
						string(difference): told.GetOperation().GetVerification().GetDifferences()[0].GetKind(),
						"rebuild":          told.GetOperation().GetKind(),
					} {
						if spelt := strings.ToUpper(strings.ReplaceAll(name, " ", "_")); !strings.HasSuffix(value.String(), "_"+spelt) {
							t.Errorf("%q is told as %s", name, value)
						}
					}
				}
			}
		}
	}
}

func TestWhatIsBegunIsInTheNameOfWhoAsks(t *testing.T) {
	t.Parallel()
	f := &fake{name: "access"}
	h := serve(f)
	if _, err := h.RebuildProjection(as(t, "user-ada"), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"})); err != nil {
		t.Error(err)
	}
	if _, err := h.VerifyProjection(as(t, "service-operator"), connect.NewRequest(&musterv1.VerifyProjectionRequest{Name: "access"})); err != nil {
		t.Error(err)
	}
	if _, err := h.SkipParkedEvent(as(t, "user-ada"), connect.NewRequest(&musterv1.SkipParkedEventRequest{
		Projection: "access", Stream: "user-1", Version: 3, Reason: "a broken import",
	})); err != nil {
		t.Error(err)
	}
	want := "rebuild by user-ada, verify by service-operator, skip user-1 3 by user-ada: a broken import"
	if got := strings.Join(f.asked, ", "); got != want {
		t.Errorf("asked to %s, want %s", got, want)
	}
}

func TestParkedEventsOfAllProjectionsComeByTime(t *testing.T) {
	t.Parallel()
	h := serve(
		&fake{name: "access", parked: []projection.Parked{parked("user-1", 1), parked("user-3", 3)}},
		&fake{name: "users", parked: []projection.Parked{parked("user-2", 2)}},
	)
	for asked, want := range map[string][]*musterv1.ParkedEvent{
		"":       {toldOf("access", "user-1", 1), toldOf("users", "user-2", 2), toldOf("access", "user-3", 3)},
		"access": {toldOf("access", "user-1", 1), toldOf("access", "user-3", 3)},
	} {
		got, err := h.ListParkedEvents(t.Context(), connect.NewRequest(&musterv1.ListParkedEventsRequest{Projection: asked}))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got.Msg, &musterv1.ListParkedEventsResponse{Events: want})
	}
}

func TestWhoLeftAnEventOutAndWhyIsTold(t *testing.T) {
	t.Parallel()
	skipped := func(stream string, minutes int) projection.Skipped {
		return projection.Skipped{
			Log: "identity", Stream: stream, Version: 3, EventID: eventID, Type: "test.Happened",
			At: at.Add(time.Duration(minutes) * time.Minute), By: "user-ada", Reason: "a broken import",
		}
	}
	told := func(name, stream string, minutes int) *musterv1.SkippedEvent {
		return &musterv1.SkippedEvent{
			Projection: name, Service: "credentials", Log: "identity", Stream: stream, Version: 3, EventId: eventID.String(), Type: "test.Happened",
			SkippedAt: timestamppb.New(at.Add(time.Duration(minutes) * time.Minute)), SkippedBy: "user-ada", Reason: "a broken import",
		}
	}
	h := serve(
		&fake{name: "access", skipped: []projection.Skipped{skipped("user-3", 3), skipped("user-1", 1)}},
		&fake{name: "users", skipped: []projection.Skipped{skipped("user-2", 2)}},
	)
	for asked, want := range map[string][]*musterv1.SkippedEvent{
		"":       {told("access", "user-3", 3), told("users", "user-2", 2), told("access", "user-1", 1)},
		"access": {told("access", "user-3", 3), told("access", "user-1", 1)},
	} {
		got, err := h.ListSkippedEvents(t.Context(), connect.NewRequest(&musterv1.ListSkippedEventsRequest{Projection: asked}))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got.Msg, &musterv1.ListSkippedEventsResponse{Events: want})
	}
}

// So that nobody deletes another generation than the one that was looked at.
func TestTheGenerationThatIsMeantIsHandedOn(t *testing.T) {
	t.Parallel()
	f := &fake{name: "access"}
	h := serve(f)
	if _, err := h.RollbackProjection(t.Context(), connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: "access", Generation: 7})); err != nil {
		t.Fatal(err)
	}
	if _, err := h.DropGeneration(t.Context(), connect.NewRequest(&musterv1.DropGenerationRequest{Name: "access", Generation: 8})); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.asked, ", "); got != "rollback 7, drop 8" {
		t.Errorf("asked to %s", got)
	}
}

func TestWhatIsSealedInAParkedEventStaysSo(t *testing.T) {
	t.Parallel()
	f := &fake{name: "access", parked: []projection.Parked{parked("user-1", 1)}, event: eventstore.Event{
		Payload: []byte(`{"userId":"1"}`), Sealed: []byte("sealed canary"), KeyID: "key canary", MetadataSealed: []byte("origin canary"),
	}}
	ask := connect.NewRequest(&musterv1.GetParkedEventRequest{Projection: "access", Stream: "user-1"})
	got, err := serve(f).GetParkedEvent(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Msg, &musterv1.GetParkedEventResponse{Event: toldOf("access", "user-1", 1), Payload: `{"userId":"1"}`, Sealed: true})

	f.event.Sealed = nil // the origin of a command is no part of what the event says
	if got, err = serve(f).GetParkedEvent(t.Context(), ask); err != nil || got.Msg.GetSealed() {
		t.Errorf("nothing is sealed: %v, %v", got, err)
	}
}

func TestWhereARetryStopsIsTold(t *testing.T) {
	t.Parallel()
	next := parked("user-1", 1)
	f := &fake{name: "access", outcome: projection.Outcome{Applied: 2, Parked: &next}}
	retried, err := serve(f).RetryParkedEvent(t.Context(), connect.NewRequest(&musterv1.RetryParkedEventRequest{Projection: "access", Stream: "user-1"}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, retried.Msg, &musterv1.RetryParkedEventResponse{Applied: 2, Parked: toldOf("access", "user-1", 1)})
	f.outcome = projection.Outcome{Applied: 5}
	skipped, err := serve(f).SkipParkedEvent(t.Context(), connect.NewRequest(&musterv1.SkipParkedEventRequest{Projection: "access", Stream: "user-1", Version: 3}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, skipped.Msg, &musterv1.SkipParkedEventResponse{Applied: 5})
}

// calls are all methods that name a projection, each by itself.
func calls(h *operations.Handler, name string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"rebuild": func(ctx context.Context) error {
			_, err := h.RebuildProjection(ctx, connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: name}))
			return err
		},
		"verify": func(ctx context.Context) error {
			_, err := h.VerifyProjection(ctx, connect.NewRequest(&musterv1.VerifyProjectionRequest{Name: name}))
			return err
		},
		"cancel": func(ctx context.Context) error {
			_, err := h.CancelOperation(ctx, connect.NewRequest(&musterv1.CancelOperationRequest{Name: name}))
			return err
		},
		"rollback": func(ctx context.Context) error {
			_, err := h.RollbackProjection(ctx, connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: name}))
			return err
		},
		"drop": func(ctx context.Context) error {
			_, err := h.DropGeneration(ctx, connect.NewRequest(&musterv1.DropGenerationRequest{Name: name}))
			return err
		},
		"list parked": func(ctx context.Context) error {
			_, err := h.ListParkedEvents(ctx, connect.NewRequest(&musterv1.ListParkedEventsRequest{Projection: name}))
			return err
		},
		"list skipped": func(ctx context.Context) error {
			_, err := h.ListSkippedEvents(ctx, connect.NewRequest(&musterv1.ListSkippedEventsRequest{Projection: name}))
			return err
		},
		"show": func(ctx context.Context) error {
			_, err := h.GetParkedEvent(ctx, connect.NewRequest(&musterv1.GetParkedEventRequest{Projection: name, Stream: "user-1"}))
			return err
		},
		"retry": func(ctx context.Context) error {
			_, err := h.RetryParkedEvent(ctx, connect.NewRequest(&musterv1.RetryParkedEventRequest{Projection: name, Stream: "user-1"}))
			return err
		},
		"skip": func(ctx context.Context) error {
			_, err := h.SkipParkedEvent(ctx, connect.NewRequest(&musterv1.SkipParkedEventRequest{Projection: name, Stream: "user-1", Version: 1}))
			return err
		},
	}
}

// detailOf is what a refusal carries.
func detailOf(t *testing.T, err error) (*connect.Error, *musterv1.ErrorDetail) {
	t.Helper()
	var refused *connect.Error
	if !errors.As(err, &refused) || len(refused.Details()) != 1 {
		t.Fatalf("%v is no refusal with one detail", err)
	}
	value, err := refused.Details()[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	detail, ok := value.(*musterv1.ErrorDetail)
	if !ok {
		t.Fatalf("the detail is %T", value)
	}
	return refused, detail
}

func TestEachRefusalHasItsReason(t *testing.T) {
	t.Parallel()
	underWay := &projection.UnderWayError{Operation: projection.Operation{Kind: projection.Verify, Projection: "users", Generation: 4, StartedAt: at}}
	for _, c := range []struct {
		err     error
		code    connect.Code
		reason  string
		field   string
		message string
	}{
		{underWay, connect.CodeFailedPrecondition, "OPERATION_UNDER_WAY", "", "The verification of users into generation 4, begun at 2026-03-02T09:00:00Z, is under way"},
		{projection.ErrNothingUnderWay, connect.CodeFailedPrecondition, "NOTHING_UNDER_WAY", "", "No operation is under way"},
		{projection.ErrNoFormer, connect.CodeFailedPrecondition, "NO_FORMER_GENERATION", "", "There are no former rows"},
		{&projection.OtherFormerError{Generation: 7}, connect.CodeFailedPrecondition, "NO_FORMER_GENERATION", "", "Generation 7 is not the former one"},
		{projection.ErrNotParked, connect.CodeNotFound, "NOT_FOUND", "stream", "No such event is parked"},
		{&projection.OtherParkedError{Version: 3}, connect.CodeNotFound, "NOT_FOUND", "version", "The event of the stream that is parked is version 3"},
		{projection.ErrBusy, connect.CodeUnavailable, "NOT_CAUGHT_UP", "", "The projection is busy at present"},
	} {
		f := &fake{name: "access", err: fmt.Errorf("rebuild: %w", c.err)}
		for name, call := range calls(serve(f), "access") {
			if strings.HasPrefix(name, "list") {
				continue // it is refused for its name only
			}
			refused, detail := detailOf(t, call(t.Context()))
			if refused.Code() != c.code || refused.Message() != c.message || detail.GetReason() != c.reason || detail.GetField() != c.field || detail.GetNext() == "" {
				t.Errorf("%s, %v: got %v with %v", name, c.err, refused, detail)
			}
			if busy := errors.Is(c.err, projection.ErrBusy); busy != (detail.GetRetryAfterMs() > 0) {
				t.Errorf("%s, %v: to be tried again after %d ms", name, c.err, detail.GetRetryAfterMs())
			}
		}
	}
}

// The field tells that the service has no such projection: by it the gateway
// knows that another one may have it.
func TestANameThatNoProjectionHasIsNotFound(t *testing.T) {
	t.Parallel()
	f := &fake{name: "access"}
	for name, call := range calls(serve(f), "acces") {
		refused, detail := detailOf(t, call(t.Context()))
		if detail.GetReason() != "NOT_FOUND" || detail.GetField() != "name" && detail.GetField() != "projection" || strings.Contains(refused.Message(), "acces") {
			t.Errorf("%s: got %v with %v", name, refused, detail)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("another projection was asked to %s", f.asked)
	}
}

// It has no detail, so that the server's interceptors give it the words and log
// what is away.
func TestWhatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	h := serve(&fake{name: "access", err: fmt.Errorf("fill gap: %w", projection.ErrAway)})
	_, err := h.RetryParkedEvent(t.Context(), connect.NewRequest(&musterv1.RetryParkedEventRequest{Projection: "access", Stream: "user-1"}))
	var refused *connect.Error
	if !errors.As(err, &refused) || refused.Code() != connect.CodeUnavailable || len(refused.Details()) > 0 || !errors.Is(err, projection.ErrAway) {
		t.Errorf("got %v", err)
	}
}

// A rollback waits. Its end has to be an answer, not the caller's own time-out.
func TestARollbackEndsBeforeTheCallersDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	f := &deadlines{fake: fake{name: "access"}}
	if _, err := serve(f).RollbackProjection(ctx, connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: "access"})); err != nil {
		t.Fatal(err)
	}
	if deadline, _ := ctx.Deadline(); !f.rollback.Before(deadline) {
		t.Errorf("it may wait until %v, the caller until %v", f.rollback, deadline)
	}
}

// deadlines notes until when a rollback may wait.
type deadlines struct {
	fake
	rollback time.Time
}

func (d *deadlines) Rollback(ctx context.Context, _ int64) (int64, error) {
	d.rollback, _ = ctx.Deadline()
	return 1, nil
}

func TestAFaultOfOursIsNoRefusal(t *testing.T) {
	t.Parallel()
	fault := errors.New("disk on fire")
	h := serve(&fake{name: "access", err: fault})
	all := calls(h, "access")
	all["list"] = func(ctx context.Context) error {
		_, err := h.ListProjections(ctx, connect.NewRequest(&musterv1.ListProjectionsRequest{}))
		return err
	}
	for name, call := range all {
		var refused *connect.Error
		if err := call(t.Context()); !errors.Is(err, fault) || errors.As(err, &refused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
