package metrics_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves metrics until the test ends, and gives their address.
func start(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	server, err := metrics.Listen("127.0.0.1:0", m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if conn, err := net.Dial("tcp", server.Addr()); err == nil {
			_ = conn.Close()
			t.Error("the address is still bound")
		}
	})
	return server.Addr()
}

func ask(t *testing.T, method, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func hasLine(t *testing.T, body, line string) {
	t.Helper()
	if !slices.Contains(strings.Split(body, "\n"), line) {
		t.Errorf("there is no line %q in\n%s", line, body)
	}
}

func TestWhatIsCountedIsShown(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	applied := 1.0
	m.Add(
		func(emit metrics.Emit) {
			emit("muster_test_applied_total", "Events applied.", applied, "projection", "access")
			emit("muster_test_applied_total", "Events applied.", 5, "projection", "users")
		},
		func(emit metrics.Emit) { emit("muster_test_lag_seconds", "Lag.", 0.25) },
	)
	addr := start(t, m)
	m.Begin()
	m.Begin()
	m.End("muster.v1.AuthService/Login", "ok", 20*time.Millisecond)
	applied = 7
	code, body := ask(t, http.MethodGet, "http://"+addr+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	for _, line := range []string{
		`# TYPE muster_test_applied_total counter`,
		`muster_test_applied_total{projection="access"} 7`,
		`muster_test_applied_total{projection="users"} 5`,
		`# TYPE muster_test_lag_seconds gauge`,
		`muster_test_lag_seconds 0.25`,
		`muster_calls_in_flight 1`,
		`muster_calls_total{code="ok",procedure="muster.v1.AuthService/Login"} 1`,
		`muster_call_seconds_bucket{procedure="muster.v1.AuthService/Login",le="0.025"} 1`,
		`muster_call_seconds_bucket{procedure="muster.v1.AuthService/Login",le="0.01"} 0`,
	} {
		hasLine(t, body, line)
	}
	if !strings.Contains(body, "\ngo_goroutines ") {
		t.Error("nothing of the Go runtime")
	}
}

// Services that share a process share no metrics.
func TestServicesInOneProcessAreApart(t *testing.T) {
	t.Parallel()
	one, other := metrics.New(), metrics.New()
	one.Begin()
	_, body := ask(t, http.MethodGet, "http://"+start(t, other)+"/metrics")
	hasLine(t, body, "muster_calls_in_flight 0")
}

func TestNothingButMetricsIsServed(t *testing.T) {
	t.Parallel()
	addr := start(t, metrics.New())
	for _, path := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		if code, _ := ask(t, http.MethodGet, "http://"+addr+path); code != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, code)
		}
	}
	if code, _ := ask(t, http.MethodPost, "http://"+addr+"/metrics"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}

// What a source has made wrong does not take the rest away.
func TestASourceThatIsWrongSpoilsNothingElse(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Add(func(emit metrics.Emit) {
		emit("muster_test_odd", "Odd.", 1, "label without value")
		emit("not a name", "Bad.", 1)
		emit("muster_test_good", "Good.", 1)
	})
	_, body := ask(t, http.MethodGet, "http://"+start(t, m)+"/metrics")
	hasLine(t, body, "muster_test_good 1")
}

func TestWithoutAnAddressNothingIsServed(t *testing.T) {
	t.Parallel()
	server, err := metrics.Listen("", metrics.New(), slog.New(slog.DiscardHandler))
	if err != nil || server.Addr() != "" {
		t.Fatalf("%q, %v", server.Addr(), err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := server.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsToldAtOnce(t *testing.T) {
	t.Parallel()
	addr := start(t, metrics.New())
	if _, err := metrics.Listen(addr, metrics.New(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("bound twice")
	}
}
