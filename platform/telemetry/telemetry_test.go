package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/platform/telemetry"
)

func TestALineSaysWhichCallItBelongsTo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := telemetry.NewLogger(&out, slog.LevelInfo, telemetry.JSON)
	ctx, span := telemetry.NewTracerProvider("identity").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	ctx = telemetry.WithService(telemetry.WithUser(telemetry.WithRequest(ctx, telemetry.Request{ID: "request-1"}), "user-1"), "identity")
	logger.InfoContext(ctx, "hello", "n", 1)
	logger.DebugContext(ctx, "not written")
	line := decode(t, out.Bytes())
	for key, want := range map[string]any{
		"msg": "hello", "request_id": "request-1", "user_id": "user-1", "service": "identity",
		"trace_id": trace.SpanContextFromContext(ctx).TraceID().String(),
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	out.Reset()
	logger.With("service", "media").InfoContext(ctx, "hello")
	if n := strings.Count(out.String(), `"service"`); n != 1 {
		t.Errorf("the service is written %d times: %s", n, out.String())
	}
}

func TestSecretsAreNotWrittenWhateverTheirType(t *testing.T) {
	t.Parallel()
	for _, format := range []telemetry.Format{telemetry.JSON, telemetry.Text} {
		var out bytes.Buffer
		logger := telemetry.NewLogger(&out, slog.LevelInfo, format)
		logger.With("accessToken", "canary").Info("hello",
			"password", "canary", "Authorization", []string{"canary"}, "set-cookie", "canary", "verifier", []byte("canary"),
			slog.Group("tokens", "access", "canary"), slog.Group("request", "refresh_token", "canary"))
		if strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestALogFormatThatDoesNotExistIsRefused(t *testing.T) {
	t.Parallel()
	var format telemetry.Format
	if err := format.UnmarshalText([]byte("xml")); err == nil {
		t.Error("accepted")
	}
}

// serve sends one request through the middleware and gives what the handler saw.
func serve(t *testing.T, config telemetry.MiddlewareConfig, prepare func(*http.Request)) (telemetry.Request, context.Context, http.Header) {
	t.Helper()
	config.Service = "gateway"
	config.Tracers = telemetry.NewTracerProvider("gateway")
	if config.Internal == nil {
		config.Internal = func(*http.Request) bool { return false }
	}
	var seen context.Context
	handler := telemetry.Middleware(config, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Context() }))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	prepare(request)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return telemetry.RequestFrom(seen), seen, recorder.Header()
}

func TestTheRequestIDOfACallerIsTakenIfItIsHarmless(t *testing.T) {
	t.Parallel()
	for given, taken := range map[string]bool{
		"0192f0a1-0000-7000-8000-000000000000": true,
		"abcDEF_12":                            true,
		"":                                     false,
		"short":                                false,
		strings.Repeat("a", 65):                false,
		"line\nbreak12345":                     false,
		`"quoted-12345"`:                       false,
	} {
		request, _, header := serve(t, telemetry.MiddlewareConfig{}, func(r *http.Request) { r.Header[telemetry.RequestIDHeader] = []string{given} })
		if (request.ID == given) != taken {
			t.Errorf("%q became %q", given, request.ID)
		}
		if header.Get(telemetry.RequestIDHeader) != request.ID {
			t.Errorf("the answer names %q, the handler saw %q", header.Get(telemetry.RequestIDHeader), request.ID)
		}
		if id, err := uuid.Parse(request.ID); !taken && (err != nil || id.Version() != 7) {
			t.Errorf("%q is not a UUIDv7", request.ID)
		}
	}
}

func TestTheClientsAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                                  {"203.0.113.9:1", nil, "203.0.113.9"},
		"a stranger cannot claim another":           {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"behind a proxy":                            {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"behind two proxies":                        {"10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"hearsay before the proxy's own entry":      {"10.0.0.1:1", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1"},
		"hearsay in a header of its own":            {"10.0.0.1:1", []string{"192.0.2.66", "198.51.100.1"}, "198.51.100.1"},
		"nonsense behind a proxy":                   {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		"a proxy that says nothing":                 {"10.0.0.1:1", nil, "10.0.0.1"},
		"an IPv4 address written as an IPv6 one":    {"[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		"a trusted proxy on IPv6":                   {"[::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"a listener without addresses, like a pipe": {"@", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, _, _ := serve(t, telemetry.MiddlewareConfig{TrustedProxies: trusted}, func(r *http.Request) {
				r.RemoteAddr = test.peer
				r.Header["X-Forwarded-For"] = test.forwarded
			})
			if request.ClientAddress != test.want {
				t.Errorf("got %q, want %q", request.ClientAddress, test.want)
			}
		})
	}
}

func TestAUserAgentIsPrintableAndShort(t *testing.T) {
	t.Parallel()
	request, _, _ := serve(t, telemetry.MiddlewareConfig{}, func(r *http.Request) {
		r.Header.Set("User-Agent", "curl\x1b[31m\r\n\u202e/8\xff "+strings.Repeat("é", 300))
	})
	if !strings.HasPrefix(request.UserAgent, "curl[31m/8 é") {
		t.Errorf("got %q", request.UserAgent)
	}
	if len(request.UserAgent) > 256 || !strings.HasSuffix(request.UserAgent, "é") {
		t.Errorf("cut to %d bytes: %q", len(request.UserAgent), request.UserAgent)
	}
}

func TestServicesAreBelievedAndStrangersAreNot(t *testing.T) {
	t.Parallel()
	ctx, span := telemetry.NewTracerProvider("gateway").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	ctx = telemetry.WithRequest(ctx, telemetry.Request{ID: "request-1", ClientAddress: "198.51.100.1", UserAgent: "curl/8"})
	prepare := func(r *http.Request) {
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("User-Agent", "grpc-go-connect")
		telemetry.Outgoing(ctx, r.Header)
	}

	request, seen, _ := serve(t, telemetry.MiddlewareConfig{Internal: func(*http.Request) bool { return true }}, prepare)
	if want := (telemetry.Request{ID: "request-1", ClientAddress: "198.51.100.1", UserAgent: "curl/8"}); request != want {
		t.Errorf("from a service: got %+v, want %+v", request, want)
	}
	if trace.SpanContextFromContext(seen).TraceID() != span.SpanContext().TraceID() {
		t.Error("a service's trace does not go on")
	}

	request, seen, _ = serve(t, telemetry.MiddlewareConfig{}, prepare)
	if request.ClientAddress != "127.0.0.1" || request.UserAgent != "grpc-go-connect" {
		t.Errorf("from a stranger: got %+v", request)
	}
	if got := trace.SpanContextFromContext(seen); got.TraceID() == span.SpanContext().TraceID() || !got.IsValid() {
		t.Error("a stranger chooses the trace")
	}
}

func TestTraceParent(t *testing.T) {
	t.Parallel()
	if got := telemetry.TraceParent(t.Context()); got != "" {
		t.Errorf("without a trace: %q", got)
	}
	ctx, span := telemetry.NewTracerProvider("identity").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	id := span.SpanContext()
	if got, want := telemetry.TraceParent(ctx), "00-"+id.TraceID().String()+"-"+id.SpanID().String()+"-01"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return fields
}
