package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	listProjections   = "/muster.v1.OperationsService/ListProjections"
	rebuildProjection = "/muster.v1.OperationsService/RebuildProjection"
	verifyProjection  = "/muster.v1.OperationsService/VerifyProjection"
	cancelOperation   = "/muster.v1.OperationsService/CancelOperation"
	rollbackTo        = "/muster.v1.OperationsService/RollbackProjection"
	dropGeneration    = "/muster.v1.OperationsService/DropGeneration"
	listParked        = "/muster.v1.OperationsService/ListParkedEvents"
	getParked         = "/muster.v1.OperationsService/GetParkedEvent"
	retryParked       = "/muster.v1.OperationsService/RetryParkedEvent"
	skipParked        = "/muster.v1.OperationsService/SkipParkedEvent"
	listSkipped       = "/muster.v1.OperationsService/ListSkippedEvents"
)

// operationBodies are good requests of all methods of OperationsService.
func operationBodies() map[string]string { return operationsOn("access") }

func operationsOn(name string) map[string]string {
	named, of := `{"name":"`+name+`"}`, `{"projection":"`+name+`"`
	return map[string]string{
		listProjections:   `{}`,
		rebuildProjection: named,
		verifyProjection:  named,
		cancelOperation:   named,
		rollbackTo:        named,
		dropGeneration:    named,
		listParked:        of + `}`,
		listSkipped:       of + `}`,
		getParked:         of + `,"stream":"user-1"}`,
		retryParked:       of + `,"stream":"user-1"}`,
		skipParked:        of + `,"stream":"user-1","version":"3","reason":"a broken import"}`,
	}
}

// projectionsFake stands in for the projections of a service.
type projectionsFake struct {
	names []string
	list  func(context.Context, *musterv1.ListProjectionsRequest) (*musterv1.ListProjectionsResponse, error)
	// answer is what the one that has the projection says to a change or a question; nil for yes.
	answer func(context.Context) error
	parked []*musterv1.ParkedEvent
	// skipped are what ListSkippedEvents tells.
	skipped []*musterv1.SkippedEvent

	mu sync.Mutex
	// asked of what it has, and for whom.
	asked []string
}

var _ projectionv1connect.ProjectionServiceHandler = (*projectionsFake)(nil)

func newProjectionsFake(names ...string) *projectionsFake {
	f := &projectionsFake{names: names}
	all := &musterv1.ListProjectionsResponse{}
	for _, name := range names {
		all.Projections = append(all.Projections, &musterv1.Projection{Name: name})
	}
	f.list = answers[musterv1.ListProjectionsRequest](all)
	return f
}

// serveNamed answers a call that names a projection, as package operations does.
func serveNamed[Req, Res any](ctx context.Context, f *projectionsFake, request *connect.Request[Req], name, field string, response *Res) (*connect.Response[Res], error) {
	if !slices.Contains(f.names, name) {
		return nil, reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Message("There is no such projection"), reason.Field(field))
	}
	procedure := request.Spec().Procedure
	f.mu.Lock()
	f.asked = append(f.asked, procedure[strings.LastIndex(procedure, "/")+1:]+" "+name+" for "+caller(ctx))
	f.mu.Unlock()
	if f.answer != nil {
		if err := f.answer(ctx); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(response), nil
}

// heard is what it was asked to do.
func (f *projectionsFake) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *projectionsFake) ListProjections(ctx context.Context, r *connect.Request[musterv1.ListProjectionsRequest]) (*connect.Response[musterv1.ListProjectionsResponse], error) {
	return reply(f.list(ctx, r.Msg))
}

func (f *projectionsFake) RebuildProjection(ctx context.Context, r *connect.Request[musterv1.RebuildProjectionRequest]) (*connect.Response[musterv1.RebuildProjectionResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetName(), "name", &musterv1.RebuildProjectionResponse{Operation: &musterv1.Operation{Generation: 2}})
}

func (f *projectionsFake) VerifyProjection(ctx context.Context, r *connect.Request[musterv1.VerifyProjectionRequest]) (*connect.Response[musterv1.VerifyProjectionResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetName(), "name", &musterv1.VerifyProjectionResponse{Operation: &musterv1.Operation{Generation: 3}})
}

func (f *projectionsFake) CancelOperation(ctx context.Context, r *connect.Request[musterv1.CancelOperationRequest]) (*connect.Response[musterv1.CancelOperationResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetName(), "name", &musterv1.CancelOperationResponse{})
}

func (f *projectionsFake) RollbackProjection(ctx context.Context, r *connect.Request[musterv1.RollbackProjectionRequest]) (*connect.Response[musterv1.RollbackProjectionResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetName(), "name", &musterv1.RollbackProjectionResponse{Generation: 1})
}

func (f *projectionsFake) DropGeneration(ctx context.Context, r *connect.Request[musterv1.DropGenerationRequest]) (*connect.Response[musterv1.DropGenerationResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetName(), "name", &musterv1.DropGenerationResponse{Generation: 2})
}

func (f *projectionsFake) ListParkedEvents(ctx context.Context, r *connect.Request[musterv1.ListParkedEventsRequest]) (*connect.Response[musterv1.ListParkedEventsResponse], error) {
	all := &musterv1.ListParkedEventsResponse{Events: f.parked}
	if r.Msg.GetProjection() == "" {
		return connect.NewResponse(all), nil
	}
	return serveNamed(ctx, f, r, r.Msg.GetProjection(), "projection", all)
}

func (f *projectionsFake) GetParkedEvent(ctx context.Context, r *connect.Request[musterv1.GetParkedEventRequest]) (*connect.Response[musterv1.GetParkedEventResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetProjection(), "projection", &musterv1.GetParkedEventResponse{Event: &musterv1.ParkedEvent{Stream: r.Msg.GetStream()}, Payload: "{}", Sealed: true})
}

func (f *projectionsFake) RetryParkedEvent(ctx context.Context, r *connect.Request[musterv1.RetryParkedEventRequest]) (*connect.Response[musterv1.RetryParkedEventResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetProjection(), "projection", &musterv1.RetryParkedEventResponse{Applied: 4})
}

func (f *projectionsFake) SkipParkedEvent(ctx context.Context, r *connect.Request[musterv1.SkipParkedEventRequest]) (*connect.Response[musterv1.SkipParkedEventResponse], error) {
	return serveNamed(ctx, f, r, r.Msg.GetProjection(), "projection", &musterv1.SkipParkedEventResponse{
		Applied: r.Msg.GetVersion(), Parked: &musterv1.ParkedEvent{Problem: r.Msg.GetReason()},
	})
}

func (f *projectionsFake) ListSkippedEvents(ctx context.Context, r *connect.Request[musterv1.ListSkippedEventsRequest]) (*connect.Response[musterv1.ListSkippedEventsResponse], error) {
	all := &musterv1.ListSkippedEventsResponse{Events: f.skipped}
	if r.Msg.GetProjection() == "" {
		return connect.NewResponse(all), nil
	}
	return serveNamed(ctx, f, r, r.Msg.GetProjection(), "projection", all)
}

// Each method reaches the one service that has the projection, in the name of
// the person, and its answer comes back.
func TestOperationsGoToTheServiceThatHasTheProjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for procedure, want := range map[string]string{
		rebuildProjection: `{"operation":{"generation":"2"}}`,
		verifyProjection:  `{"operation":{"generation":"3"}}`,
		cancelOperation:   `{}`,
		rollbackTo:        `{"generation":"1"}`,
		dropGeneration:    `{"generation":"2"}`,
		listParked:        `{}`,
		listSkipped:       `{}`,
		getParked:         `{"event":{"stream":"user-1"},"payload":"{}","sealed":true}`,
		retryParked:       `{"applied":"4"}`,
		skipParked:        `{"applied":"3","parked":{"problem":"a broken import"}}`,
	} {
		for name, service := range map[string]string{"avatars": "identity", "access": "credentials", "files": "media"} {
			w.post(procedure, operationsOn(name)[procedure], "Authorization", w.bearerOf(access.Admin)).containsJSON(t, want)
			asked := fmt.Sprintf("%s %s for %s", procedure[strings.LastIndex(procedure, "/")+1:], name, ada)
			if heard := w.projections[service].heard(); len(heard) == 0 || heard[len(heard)-1] != asked {
				t.Errorf("%s was asked %v last, want %q", service, heard, asked)
			}
		}
	}
	for service, f := range w.projections {
		if n := len(f.heard()); n != 10 {
			t.Errorf("%s was asked %d times, want once for each method", service, n)
		}
	}
}

func TestProjectionsOfAllServicesAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got := w.post(listProjections, `{}`, "Authorization", w.bearerOf(access.Auditor))
	got.ok(t)
	if names := got.names("projections", "name"); !slices.Equal(names, []string{"access", "avatars", "files", "users"}) {
		t.Errorf("got %v", names)
	}
	at := func(second int64, stream string) *musterv1.ParkedEvent {
		return &musterv1.ParkedEvent{Stream: stream, ParkedAt: timestamppb.New(time.Unix(second, 0))}
	}
	w.projections["identity"].parked = []*musterv1.ParkedEvent{at(1, "a"), at(4, "d")}
	w.projections["media"].parked = []*musterv1.ParkedEvent{at(2, "b"), at(3, "c")}
	got = w.post(listParked, `{}`, "Authorization", w.bearerOf(access.Auditor))
	got.ok(t)
	if streams := got.names("events", "stream"); !slices.Equal(streams, []string{"a", "b", "c", "d"}) {
		t.Errorf("got %v", streams)
	}
	skipped := func(second int64, stream string) *musterv1.SkippedEvent {
		return &musterv1.SkippedEvent{Stream: stream, SkippedAt: timestamppb.New(time.Unix(second, 0))}
	}
	w.projections["identity"].skipped = []*musterv1.SkippedEvent{skipped(4, "d"), skipped(1, "a")}
	w.projections["media"].skipped = []*musterv1.SkippedEvent{skipped(3, "c"), skipped(2, "b")}
	got = w.post(listSkipped, `{}`, "Authorization", w.bearerOf(access.Auditor))
	got.ok(t)
	if streams := got.names("events", "stream"); !slices.Equal(streams, []string{"d", "c", "b", "a"}) {
		t.Errorf("those that were left out last come first, not %v", streams)
	}
}

// names are a field of each entry of a list in an answer.
func (a answer) names(list, field string) []string {
	var found []string
	entries, _ := a.body[list].([]any)
	for _, entry := range entries {
		entry, _ := entry.(map[string]any)
		name, _ := entry[field].(string)
		found = append(found, name)
	}
	return found
}

// containsJSON compares the fields that want has with an answer's: the public
// JSON spells out those that are empty.
func (a answer) containsJSON(t *testing.T, want string) {
	t.Helper()
	a.ok(t)
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if !holds(a.body, wanted) {
		t.Errorf("got %s, want %s in it", a.text, want)
	}
}

func holds(got, want any) bool {
	wanted, ok := want.(map[string]any)
	if !ok {
		return got == want
	}
	found, ok := got.(map[string]any)
	for name, value := range wanted {
		ok = ok && holds(found[name], value)
	}
	return ok
}

func TestAServiceThatDoesNotAnswerIsNamedAndHoldsUpNoList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stopMedia()
	w.projections["identity"].list = fails[musterv1.ListProjectionsRequest, musterv1.ListProjectionsResponse](errors.New("pq: password canary"))
	got := w.post(listProjections, `{}`, "Authorization", w.bearerOf(access.Admin))
	got.ok(t)
	unreachable, _ := got.body["unreachable"].([]any)
	if names := got.names("projections", "name"); !slices.Equal(names, []string{"access"}) || fmt.Sprint(unreachable) != "[identity media]" {
		t.Errorf("got %s", got.text)
	}
	if strings.Contains(got.text, "canary") {
		t.Errorf("internals leaked: %s", got.text)
	}
	got = w.post(listParked, `{}`, "Authorization", w.bearerOf(access.Admin))
	got.ok(t)
	if unreachable, _ := got.body["unreachable"].([]any); fmt.Sprint(unreachable) != "[media]" {
		t.Errorf("got %s", got.text)
	}
}

func TestAServiceThatDoesNotAnswerMattersOnlyIfItMayHaveTheProjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = time.Second })
	w.stopMedia()
	admin := w.bearerOf(access.Admin)
	for _, name := range []string{"access", "users"} {
		for procedure, body := range operationsOn(name) {
			w.post(procedure, body, "Authorization", admin).ok(t)
		}
	}
	for _, name := range []string{"files", "no-such"} {
		got := w.post(rebuildProjection, `{"name":"`+name+`"}`, "Authorization", admin)
		got.refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
		if message, _ := got.body["message"].(string); !strings.HasSuffix(message, "no answer from media") {
			t.Errorf("message %q", message)
		}
	}
}

func TestTheServiceThatHasTheProjectionIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = 300 * time.Millisecond })
	w.projections["media"].answer = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	w.post(rebuildProjection, `{"name":"files"}`, "Authorization", w.bearerOf(access.Admin)).
		refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
}

func TestASilentServiceDoesNotHoldUpTheOneThatHasTheProjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = time.Minute })
	arrived, gone := make(chan struct{}), make(chan error, 1)
	w.projections["media"].names = []string{"access"} // so that it gets as far as to hang
	w.projections["media"].answer = func(ctx context.Context) error {
		close(arrived)
		<-ctx.Done()
		gone <- ctx.Err()
		return ctx.Err()
	}
	w.projections["credentials"].answer = func(context.Context) error {
		<-arrived
		return nil
	}
	w.post(rebuildProjection, `{"name":"access"}`, "Authorization", w.bearerOf(access.Admin)).ok(t)
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("it was waited for until %v", err)
	}
}

func TestAnUnknownProjectionIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for procedure, body := range operationsOn("no-such") {
		if procedure == listProjections {
			continue
		}
		field := "name"
		if strings.Contains(body, `"projection"`) {
			field = "projection"
		}
		w.post(procedure, body, "Authorization", w.bearerOf(access.Admin)).refused(t, http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND, field)
	}
}

// Its refusal is the answer, also while others do not answer: with the reason,
// and with the words that name the first operation.
func TestARefusalNamesTheOperationThatCameFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = time.Second })
	w.stopMedia()
	const said = "The verification of users into generation 4, begun at 2026-03-02T09:00:00Z, is under way"
	for r, status := range map[musterv1.Reason]int{
		musterv1.Reason_REASON_OPERATION_UNDER_WAY:  http.StatusBadRequest,
		musterv1.Reason_REASON_NO_FORMER_GENERATION: http.StatusBadRequest,
		musterv1.Reason_REASON_NOT_CAUGHT_UP:        http.StatusServiceUnavailable,
	} {
		w.projections["identity"].answer = func(context.Context) error {
			return reason.New(r, reason.Message(said), reason.Cause(errors.New("canary")))
		}
		got := w.post(rollbackTo, `{"name":"users"}`, "Authorization", w.bearerOf(access.Admin))
		got.refused(t, status, r, "")
		if got.body["message"] != said || strings.Contains(got.text, "canary") {
			t.Errorf("got %s", got.text)
		}
	}
	w.projections["identity"].answer = func(context.Context) error {
		return reason.New(musterv1.Reason_REASON_NOT_FOUND, reason.Field("stream"))
	}
	w.post(retryParked, operationsOn("users")[retryParked], "Authorization", w.bearerOf(access.Admin)).
		refused(t, http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND, "stream")
}

func TestBadRequestsOfOperators(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const invalid = musterv1.Reason_REASON_INVALID_ARGUMENT
	for name, c := range map[string]struct{ procedure, body, field string }{
		"no name":                  {rebuildProjection, `{}`, "name"},
		"a name too long":          {verifyProjection, `{"name":"` + strings.Repeat("a", 101) + `"}`, "name"},
		"no stream":                {retryParked, `{"projection":"access"}`, "stream"},
		"no projection":            {getParked, `{"stream":"user-1"}`, "projection"},
		"a skip without a version": {skipParked, `{"projection":"access","stream":"user-1","reason":"a broken import"}`, "version"},
		"a skip without a reason":  {skipParked, `{"projection":"access","stream":"user-1","version":"3"}`, "reason"},
		"a reason too short":       {skipParked, `{"projection":"access","stream":"user-1","version":"3","reason":"no"}`, "reason"},
		"a reason too long":        {skipParked, `{"projection":"access","stream":"user-1","version":"3","reason":"` + strings.Repeat("a", 501) + `"}`, "reason"},
	} {
		t.Run(name, func(t *testing.T) {
			w.post(c.procedure, c.body, "Authorization", w.bearerOf(access.Admin)).refused(t, http.StatusBadRequest, invalid, c.field)
		})
	}
	for service, f := range w.projections {
		if heard := f.heard(); len(heard) > 0 {
			t.Errorf("%s was asked %v", service, heard)
		}
	}
}
