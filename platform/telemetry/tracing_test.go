package telemetry_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/telemetry/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tracing(t *testing.T, logger *slog.Logger) *telemetry.Tracing {
	t.Helper()
	made, err := telemetry.NewTracing(t.Context(), "identity", logger)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Spans go to the collector that the environment names, at the end too.
func TestSpansGoToTheCollector(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SERVICE_NAME", "everything")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	made := tracing(t, slog.New(slog.DiscardHandler))
	ctx, span := made.Provider().Tracer("test").Start(t.Context(), "call")
	inner, client := telemetry.StartCall(ctx, "muster.v1.AuthService/Login")
	if !strings.HasSuffix(telemetry.TraceParent(inner), "-01") {
		t.Errorf("the next service is not told to record: %q", telemetry.TraceParent(inner))
	}
	client.End()
	span.End()
	made.Close()
	spans := collector.Spans() // without waiting
	if len(spans) != 2 || spans[0].TraceID != spans[1].TraceID || spans[0].Parent != spans[1].ID {
		t.Fatalf("got %+v", spans)
	}
	if spans[0].Service != "identity" {
		t.Errorf("the service is called %q: several share a process, so its name is its own", spans[0].Service)
	}
}

// The sampler is OpenTelemetry's setting.
func TestTheSamplerIsASetting(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	made := tracing(t, slog.New(slog.DiscardHandler))
	_, span := made.Provider().Tracer("test").Start(t.Context(), "call")
	span.End()
	made.Close()
	if spans := collector.Spans(); len(spans) > 0 {
		t.Errorf("got %+v", spans)
	}
	if !span.SpanContext().IsValid() {
		t.Error("the log has no trace id")
	}
}

// Without an endpoint nothing is sent, and nothing runs.
func TestWithoutAnEndpointThereAreIdsOnly(t *testing.T) {
	for _, off := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range off {
				t.Setenv(name, value)
			}
			made := tracing(t, slog.New(slog.DiscardHandler))
			defer made.Close()
			_, span := made.Provider().Tracer("test").Start(t.Context(), "call")
			defer span.End()
			if span.IsRecording() || !span.SpanContext().IsValid() {
				t.Errorf("recording: %t, id %v", span.IsRecording(), span.SpanContext().TraceID())
			}
		})
	}
}

// Settings that mean nothing are all told at the start.
func TestFaultsOfTheSettingsAreTold(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "grpc",
		"OTEL_TRACES_SAMPLER":                "sometimes",
		"OTEL_TRACES_SAMPLER_ARG":            "2",
	} {
		t.Setenv(name, value)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hidden@127.0.0.1:99999999/")
	_, err := telemetry.NewTracing(t.Context(), "identity", slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"TRACES_ENDPOINT", "PROTOCOL", "TRACES_SAMPLER is", "SAMPLER_ARG"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("%q shows a password", err)
	}
}

// A collector that refuses costs one line a minute, however many batches.
func TestACollectorThatRefusesIsOneLine(t *testing.T) {
	refused := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		refused <- struct{}{}
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	var log bytes.Buffer
	made := tracing(t, slog.New(slog.NewTextHandler(&log, nil)))
	for range 1200 { // more than two batches
		_, span := made.Provider().Tracer("test").Start(t.Context(), "call")
		span.End()
	}
	<-refused
	<-refused
	made.Close()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "403") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// A collector that takes connections and says nothing holds up no shutdown.
func TestACollectorThatHangsHoldsUpNoShutdown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	made := tracing(t, slog.New(slog.DiscardHandler))
	for range 5000 {
		_, span := made.Provider().Tracer("test").Start(t.Context(), "call")
		span.End()
	}
	began := time.Now()
	made.Close()
	if took := time.Since(began); took > 20*time.Second { // waiting for each batch would take twice that
		t.Errorf("it took %v", took)
	}
}

// What a service asks by itself begins no trace, and is found in its log all
// the same; a call of a person that comes through it is recorded.
func TestWhatAServiceAsksByItselfIsNotTraced(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	made := tracing(t, slog.New(slog.DiscardHandler))
	ask := func(internal bool, path string, prepare func(*http.Request)) trace.SpanContext {
		var seen context.Context
		handler := telemetry.Middleware(telemetry.MiddlewareConfig{
			Service: "identity", Tracers: made.Provider(), Untraced: []string{"/livez"},
			Internal: func(*http.Request) bool { return internal },
		}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Context() }))
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
		prepare(request)
		handler.ServeHTTP(httptest.NewRecorder(), request)
		return trace.SpanContextFromContext(seen)
	}
	nothing := func(*http.Request) {}
	if got := ask(true, "/poll", nothing); !got.IsValid() || got.IsSampled() {
		t.Errorf("a poll: %+v", got)
	}
	if got := ask(false, "/livez", nothing); !got.IsValid() || got.IsSampled() {
		t.Errorf("a probe: %+v", got)
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	inside := ask(true, "/call", func(r *http.Request) { r.Header.Set("traceparent", parent) })
	if inside.TraceID().String() != strings.Split(parent, "-")[1] {
		t.Errorf("a service's call: %+v", inside)
	}
	stranger := ask(false, "/call", func(r *http.Request) {
		r.Header.Set("traceparent", strings.Replace(parent, "-01", "-00", 1)) // which would not be recorded
	})
	made.Close()
	spans := collector.Spans()
	if len(spans) != 2 || spans[0].Parent != strings.Split(parent, "-")[2] {
		t.Fatalf("got %+v", spans)
	}
	if spans[1].TraceID != stranger.TraceID().String() || spans[1].Parent != "" || len(spans[1].Links) != 1 || spans[1].Links[0] != inside.TraceID().String() {
		t.Errorf("a stranger's call is a trace of its own, linked to the stranger's: %+v", spans[1])
	}
}
