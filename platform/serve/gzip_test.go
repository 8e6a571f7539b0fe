package serve

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// zeros packs so many of them.
func zeros(t *testing.T, size int) *bytes.Buffer {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &packed
}

func TestUnpackingStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, c := range []struct {
		size int
		fits bool
	}{{0, true}, {limit - 1, true}, {limit, true}, {limit + 1, false}, {1 << 24, false}} {
		r := &boundedGzip{limit: limit}
		if err := r.Reset(zeros(t, c.size)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if c.fits {
			if err != nil || len(got) != c.size {
				t.Errorf("%d bytes: read %d, %v", c.size, len(got), err)
			}
			continue
		}
		if !errors.Is(err, errTooLarge) || len(got) > limit+1 {
			t.Errorf("%d bytes: unpacked %d of them, %v; want %v", c.size, len(got), err, errTooLarge)
		}
	}
}

// Connect's own gzip would refuse them too, after it has unpacked all.
func TestEveryHandlerStopsUnpackingAtItsLimit(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewHealthServiceHandler(musterv1connect.UnimplementedHealthServiceHandler{},
		Interceptors(Config{Logger: slog.New(slog.DiscardHandler)})))
	Diagnostics(mux, func() bool { return true })
	for path, limit := range map[string]int{
		musterv1connect.HealthServicePingProcedure: defaultMaxRequestBytes,
		"/grpc.health.v1.Health/Check":             maxDiagnostic,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, zeros(t, limit+1))
		request.Header.Set("Content-Type", "application/proto")
		request.Header.Set("Content-Encoding", "gzip")
		// Without the server's middleware, which has words of its own.
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		if !strings.Contains(answer.Body.String(), errTooLarge.Error()) {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}
