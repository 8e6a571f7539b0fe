package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/telemetry/tracetest"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

var _ serve.Meter = (*metrics.Metrics)(nil)

// meter notes what it is told.
type meter struct {
	mu    sync.Mutex
	begun int
	ended []string
	all   chan struct{} // gets one for each call that ended
}

func (m *meter) Begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun++
}

func (m *meter) End(procedure, code string, _ time.Duration) {
	m.mu.Lock()
	m.ended = append(m.ended, procedure+" "+code)
	m.mu.Unlock()
	m.all <- struct{}{}
}

// No label is made of what a stranger sends: neither paths nor methods.
func TestCallsAreCountedUnderNamesOfOurs(t *testing.T) {
	t.Parallel()
	m := &meter{all: make(chan struct{}, 10)}
	mux := http.NewServeMux()
	fail := errors.New("disk on fire")
	mux.Handle(musterv1connect.NewHealthServiceHandler(pings{ping: func(context.Context) error { return fail }},
		serve.Interceptors(serve.Config{Logger: slog.New(slog.DiscardHandler)})))
	mux.HandleFunc("GET /teapot", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "short and stout", http.StatusTeapot) })
	serve.Diagnostics(mux, func() bool { return true })
	addr := start(t, serve.ServerConfig{Name: "test", Handler: mux, Logger: slog.New(slog.DiscardHandler), Meter: m})

	client := plain(t, true)
	health := musterv1connect.NewHealthServiceClient(client, "http://"+addr, connect.WithGRPC())
	if _, err := health.Ping(t.Context(), connect.NewRequest(&musterv1.PingRequest{})); reason.Of(err) != musterv1.Reason_REASON_INTERNAL {
		t.Fatal(err)
	}
	if _, err := health.CheckServices(t.Context(), connect.NewRequest(&musterv1.CheckServicesRequest{})); reason.Of(err) != musterv1.Reason_REASON_UNAUTHENTICATED {
		t.Fatal(err)
	}
	for _, path := range []string{"/teapot", "/person@example.com/etc", "/muster.v1.HealthService/Secret"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	for range 5 {
		<-m.all
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.ended)
	want := []string{
		"http 418", "http unimplemented", "http unimplemented",
		"muster.v1.HealthService/CheckServices unauthenticated", "muster.v1.HealthService/Ping internal",
	}
	if m.begun != 5 || !slices.Equal(m.ended, want) {
		t.Errorf("%d calls: %q", m.begun, m.ended)
	}
}

// Every line written during a call names service, request and trace, whoever
// writes it; and the trace is the one that the next service goes on with.
func TestEveryLineOfACallNamesTheCall(t *testing.T) {
	t.Parallel()
	log := &logs{}
	logger := telemetry.NewLogger(log, slog.LevelDebug, telemetry.JSON).With("service", "test")
	var trace string
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewHealthServiceHandler(pings{ping: func(ctx context.Context) error {
		logger.InfoContext(ctx, "in the handler")
		header := http.Header{}
		telemetry.Outgoing(ctx, header)
		trace = strings.Split(header.Get("traceparent"), "-")[1]
		panic("in the handler")
	}}, serve.Interceptors(serve.Config{Logger: logger})))
	addr := start(t, serve.ServerConfig{Name: "test", Handler: mux, Logger: logger})
	err := ping(t.Context(), t, addr, connect.WithProtoJSON())
	detail, _ := reason.DetailOf(err)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) < 3 { // the handler's, the panic's, the call's
		t.Fatalf("%d lines: %s", len(lines), log)
	}
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"service": "test", "request_id": detail.GetRequestId(), "trace_id": trace} {
			if want == "" || fmt.Sprint(fields[key]) != want {
				t.Errorf("%s is %v, want %q: %s", key, fields[key], want, line)
			}
		}
	}
}

// The span of a call is named after the procedure and says what became of it;
// what the caller has done wrong is no fault of the service.
func TestTheSpanOfACallSaysWhatBecameOfIt(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracing, err := telemetry.NewTracing(t.Context(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		err    error
		failed bool
		code   string
	}{
		"answered": {nil, false, ""},
		"refused":  {reason.New(musterv1.Reason_REASON_NOT_FOUND), false, "not_found"},
		"broken":   {errors.New("disk on fire"), true, "internal"},
	} {
		before := len(collector.Spans())
		addr := start(t, serve.ServerConfig{
			Name: "test", Handler: pinging(serve.Config{}, func(context.Context) error { return test.err }),
			Logger: slog.New(slog.DiscardHandler), Tracers: tracing.Provider(),
		})
		_ = ping(t.Context(), t, addr, connect.WithGRPC())
		span := collector.Await(t, name, func(spans []tracetest.Span) bool { return len(spans) > before })[before]
		if span.Name != "muster.v1.HealthService/Ping" || span.Failed != test.failed || span.Attributes["rpc.response.status_code"] != test.code {
			t.Errorf("%s: %+v", name, span)
		}
		if span.Attributes["muster.request_id"] == "" {
			t.Errorf("%s: nothing leads from a request id to its trace: %+v", name, span)
		}
	}
	tracing.Close()
}
