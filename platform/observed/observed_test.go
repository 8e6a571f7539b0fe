package observed_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/observed"
	"github.com/muster-id/muster/platform/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// What the parts tell of themselves, and how they are, is what Prometheus reads.
func TestWhatPartsTellIsShown(t *testing.T) {
	t.Parallel()
	service, err := observed.New(t.Context(), "sample", quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	looked := make(chan struct{}, 1)
	up := status.Answers(func(context.Context) error {
		select {
		case looked <- struct{}{}:
		default:
		}
		return nil
	})
	err = service.Watch("127.0.0.1:0", []status.Check{{Name: "postgres", Probe: up}},
		func(emit metrics.Emit) { emit("muster_sample", "A sample.", 7) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	<-looked
	for _, want := range []string{"muster_sample 7", `dependency="postgres"`} {
		if body := scrape(t, service.MetricsAddr()); !strings.Contains(body, want) {
			t.Errorf("%q is not among\n%s", want, body)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := service.Monitor().Status().GetDependencies(); len(got) != 1 || got[0].GetName() != "postgres" {
		t.Errorf("the status is of %v", got)
	}
}

// A service that could not be made is closed all the same, however far it came,
// and its address is free again.
func TestWhatWasNeverRunCanBeClosed(t *testing.T) {
	t.Parallel()
	var none *observed.Service
	none.Close()
	unwatched, err := observed.New(t.Context(), "sample", quiet())
	if err != nil {
		t.Fatal(err)
	}
	unwatched.Close()
	service, err := observed.New(t.Context(), "sample", quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Watch("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	address := service.MetricsAddr()
	service.Close()
	next, err := observed.New(t.Context(), "sample", quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := next.Watch(address, nil); err != nil {
		t.Errorf("the address was kept: %v", err)
	}
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
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
	return string(body)
}
