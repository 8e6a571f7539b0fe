package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/access"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// service is one entry of an answer of CheckServices.
func (a answer) service(t *testing.T, name string) map[string]any {
	t.Helper()
	services, _ := a.body["services"].([]any)
	for _, each := range services {
		if each, ok := each.(map[string]any); ok && each["name"] == name {
			return each
		}
	}
	t.Fatalf("%s is not in %s", name, a.text)
	return nil
}

// checked calls CheckServices until the gateway's own look in the background
// has found what `until` waits for.
func (w *world) checked(until func(answer) bool) answer {
	w.t.Helper()
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got := w.post(check, `{}`, "Authorization", w.bearerOf(access.Auditor))
		got.ok(w.t)
		if until(got) {
			return got
		}
		select {
		case <-again.C:
		case <-patience.C:
			w.t.Fatalf("still %s", got.text)
		}
	}
}

func TestServicesAreToldWithTheirDependencies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.status["identity"].get = answers[statusv1.GetStatusRequest](&statusv1.GetStatusResponse{
		StartedAt: timestamppb.New(time.Unix(10, 0)),
		Dependencies: []*statusv1.Dependency{
			{Name: "rabbitmq", State: statusv1.State_STATE_DOWN, Latency: durationpb.New(2 * time.Second), Since: timestamppb.New(time.Unix(20, 0)), Problem: "does not answer"},
			{Name: "postgres", Vital: true, State: statusv1.State_STATE_UP, Latency: durationpb.New(time.Millisecond), Since: timestamppb.New(time.Unix(11, 0))},
			{Name: "projection users", State: statusv1.State_STATE_UP, Since: timestamppb.New(time.Unix(12, 0)), Projection: &statusv1.ProjectionHealth{
				LagEvents: 7, Lag: durationpb.New(3 * time.Second), EventsPerSecond: 41.5, Parked: 2, OldestParkedAt: timestamppb.New(time.Unix(13, 0)),
				Generation: 4, Progress: proto.Float64(0.5), UnknownEvents: 6,
			}},
		},
	})
	got := w.checked(func(a answer) bool { return a.service(t, "gateway")["state"] == "STATE_UP" })
	if got.body["state"] != "STATE_DEGRADED" {
		t.Errorf("all in all %v", got.body["state"])
	}
	var names []string
	services, _ := got.body["services"].([]any)
	for _, each := range services {
		names = append(names, each.(map[string]any)["name"].(string))
	}
	if !slices.Equal(names, []string{"credentials", "gateway", "identity", "media"}) {
		t.Errorf("got %v", names)
	}
	identity := got.service(t, "identity")
	latency, _ := identity["latency"].(string)
	if identity["state"] != "STATE_DEGRADED" || identity["since"] != "1970-01-01T00:00:20Z" || !strings.HasSuffix(latency, "s") || latency == "0s" {
		t.Errorf("got %v", identity)
	}
	dependencies, _ := identity["dependencies"].([]any)
	if len(dependencies) != 3 || dependencies[0].(map[string]any)["name"] != "postgres" {
		t.Fatalf("got %v", dependencies)
	}
	for name, want := range map[string]any{
		"name": "rabbitmq", "state": "STATE_DOWN", "latency": "2s", "since": "1970-01-01T00:00:20Z", "problem": "does not answer",
	} {
		if broker := dependencies[2].(map[string]any); broker[name] != want {
			t.Errorf("%s is %v", name, broker[name])
		}
	}
	projection, _ := dependencies[1].(map[string]any)["projection"].(map[string]any)
	for name, want := range map[string]any{
		"lagEvents": "7", "lag": "3s", "eventsPerSecond": 41.5, "parked": "2", "oldestParkedAt": "1970-01-01T00:00:13Z", "generation": "4", "progress": 0.5, "unknownEvents": "6",
	} {
		if projection[name] != want {
			t.Errorf("%s of the projection is %v", name, projection[name])
		}
	}
	if _, told := dependencies[0].(map[string]any)["projection"]; told {
		t.Errorf("what is no projection: %v", dependencies[0])
	}
	parts, _ := got.service(t, "gateway")["dependencies"].([]any)
	if len(parts) != 3 {
		t.Errorf("the gateway depends on %v", parts)
	}
}

func TestAServiceThatDoesNotAnswerIsDownSinceItHasNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.checked(func(a answer) bool { return a.service(t, "gateway")["state"] == "STATE_UP" })
	w.stopMedia()
	// At once, by being asked; then the gateway's own look finds it too.
	got := w.post(check, `{}`, "Authorization", w.bearerOf(access.Auditor))
	got.ok(t)
	if media := got.service(t, "media"); media["state"] != "STATE_DOWN" || got.body["state"] != "STATE_DOWN" || got.service(t, "identity")["state"] != "STATE_UP" {
		t.Errorf("got %s", got.text)
	}
	first := w.checked(func(a answer) bool { return a.service(t, "gateway")["state"] == "STATE_DEGRADED" })
	again := w.checked(func(answer) bool { return true })
	since := first.service(t, "media")["since"]
	if since == nil || again.service(t, "media")["since"] != since || again.service(t, "gateway")["since"] != since {
		t.Errorf("down since %v, then since %v", first.service(t, "media"), again.service(t, "media"))
	}
	if strings.Contains(again.text, "127.0.0.1") || strings.Contains(again.text, "dial") {
		t.Errorf("internals leaked: %s", again.text)
	}
}

func TestASilentServiceDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.status["credentials"].get = silence[statusv1.GetStatusRequest, statusv1.GetStatusResponse]
	w.status["media"].get = fails[statusv1.GetStatusRequest, statusv1.GetStatusResponse](errors.New("pq: password canary"))
	got := w.post(check, `{}`, "Authorization", w.bearerOf(access.Admin))
	got.ok(t)
	for name, state := range map[string]string{"credentials": "STATE_DOWN", "media": "STATE_DOWN", "identity": "STATE_UP"} {
		if service := got.service(t, name); service["state"] != state || service["since"] == nil {
			t.Errorf("%s: %v", name, service)
		}
	}
	if strings.Contains(got.text, "canary") {
		t.Errorf("internals leaked: %s", got.text)
	}
}

func TestWhoHasGoneSaysNothingOfTheServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	arrived := make(chan struct{})
	w.status["identity"].get = func(ctx context.Context, _ *statusv1.GetStatusRequest) (*statusv1.GetStatusResponse, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+check, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", w.bearerOf(access.Admin))
	go func() {
		<-arrived
		leave()
	}()
	if response, err := w.client.Do(request); err == nil {
		response.Body.Close()
		t.Errorf("got %d", response.StatusCode)
	}
	w.stopGateway() // the line is written after the answer
	if !strings.Contains(w.logs.String(), `"reason":"CANCELED"`) {
		t.Errorf("the log: %s", w.logs)
	}
}
