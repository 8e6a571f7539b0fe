package serve_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// pings is a HealthService whose Ping does as it is told.
type pings struct {
	musterv1connect.UnimplementedHealthServiceHandler
	ping func(context.Context) error
}

func (p pings) Ping(ctx context.Context, _ *connect.Request[musterv1.PingRequest]) (*connect.Response[musterv1.PingResponse], error) {
	if err := p.ping(ctx); err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.PingResponse{}), nil
}

func ping(ctx context.Context, t *testing.T, addr string, option connect.ClientOption) error {
	t.Helper()
	_, err := musterv1connect.NewHealthServiceClient(plain(t, true), "http://"+addr, option).Ping(ctx, connect.NewRequest(&musterv1.PingRequest{}))
	return err
}

func pinging(config serve.Config, ping func(context.Context) error) http.Handler {
	config.Logger = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewHealthServiceHandler(pings{ping: ping}, serve.Interceptors(config)))
	return mux
}

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestACallIsBounded(t *testing.T) {
	t.Parallel()
	addr := start(t, serve.ServerConfig{
		Name: "test", Handler: pinging(serve.Config{Timeout: 50 * time.Millisecond}, untilDone), Logger: slog.New(slog.DiscardHandler),
	})
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC()} {
		if err := ping(t.Context(), t, addr, option); reason.Of(err) != musterv1.Reason_REASON_DEADLINE_EXCEEDED {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestACallersOwnTimeOutMayBeLongerButNotEndless(t *testing.T) {
	t.Parallel()
	var left time.Duration
	addr := start(t, serve.ServerConfig{
		Name: "test", Logger: slog.New(slog.DiscardHandler),
		Handler: pinging(serve.Config{Timeout: time.Second}, func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return nil
		}),
	})
	for given, want := range map[time.Duration]time.Duration{30 * time.Second: 30 * time.Second, time.Hour: time.Minute} {
		ctx, cancel := context.WithTimeout(t.Context(), given)
		if err := ping(ctx, t, addr, connect.WithGRPC()); err != nil {
			t.Fatal(err)
		}
		cancel()
		if left > want || left < want-5*time.Second {
			t.Errorf("with %v given, the handler has %v", given, left)
		}
	}
}

func TestShutdownLetsCallsEndAndWaitsForNoneForLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler func(release <-chan struct{}) func(context.Context) error
		want    musterv1.Reason
		atMost  time.Duration
	}{
		"a call that ends": {
			func(release <-chan struct{}) func(context.Context) error {
				return func(context.Context) error { <-release; return nil }
			},
			musterv1.Reason_REASON_UNSPECIFIED, time.Second,
		},
		"a call that waits for something": {
			func(<-chan struct{}) func(context.Context) error { return untilDone },
			musterv1.Reason_REASON_UNAVAILABLE, 3 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			act := test.handler(release)
			server, err := serve.New(serve.ServerConfig{
				Name: "test", Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
				Handler: pinging(serve.Config{}, func(ctx context.Context) error {
					close(entered)
					return act(ctx)
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended, answered := make(chan error, 1), make(chan error, 1)
			go func() { ended <- server.Run(ctx) }()
			go func() { answered <- ping(t.Context(), t, server.Addr(), connect.WithGRPC()) }()
			<-entered
			started := time.Now()
			stop()
			close(release)
			if err := <-answered; reason.Of(err) != test.want || (err == nil) != (test.want == 0) {
				t.Errorf("the call under way: %v", err)
			}
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			if took := time.Since(started); took > test.atMost {
				t.Errorf("the shutdown took %v", took)
			}
			if conn, err := net.Dial("tcp", server.Addr()); err == nil {
				_ = conn.Close()
				t.Error("the address is still bound")
			}
		})
	}
}

func TestAnAddressThatIsTakenIsToldAtNew(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	if _, err := serve.New(serve.ServerConfig{Name: "test", Address: listener.Addr().String(), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("bound twice")
	}
}

func TestAServerWhoseListenerFailsSaysSo(t *testing.T) {
	t.Parallel()
	server, err := serve.New(serve.ServerConfig{Name: "test", Address: "127.0.0.1:0", Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context()); err == nil {
		t.Error("Run has ended without an error")
	}
}
