package serve

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/telemetry"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const streamed = "/test.StreamService/Server"

// streaming serves a stream outside the access gate.
func streaming(send func(context.Context, *connect.ServerStream[musterv1.ErrorDetail]) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(streamed, connect.NewServerStreamHandler(streamed,
		func(ctx context.Context, _ *connect.Request[musterv1.ErrorDetail], out *connect.ServerStream[musterv1.ErrorDetail]) error {
			return send(ctx, out)
		}, connect.WithInterceptors(outcome{})))
	return mux
}

// The time-outs of the server are for requests that are answered once.
func TestAStreamOutlivesTheTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	const bound = 200 * time.Millisecond
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := streaming(func(ctx context.Context, out *connect.ServerStream[musterv1.ErrorDetail]) error {
				for range 3 {
					if err := out.Send(&musterv1.ErrorDetail{}); err != nil {
						return err
					}
					passed := time.NewTimer(2 * bound)
					select {
					case <-passed.C:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			})
			server := httptest.NewUnstartedServer(handler(ServerConfig{
				Name: "test", Handler: mux, Tracers: telemetry.NewTracerProvider("test"), Logger: slog.New(slog.DiscardHandler),
			}))
			server.Config.ReadTimeout, server.Config.WriteTimeout = bound, bound
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			// With the body's length told, as browsers do: the server then reads on, to
			// see whether the client goes.
			asked, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+streamed, strings.NewReader("\x00\x00\x00\x00\x02{}"))
			if err != nil {
				t.Fatal(err)
			}
			asked.Header.Set("Content-Type", "application/connect+json")
			answer, err := server.Client().Do(asked)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close() //nolint:errcheck // of a test
			got, err := io.ReadAll(answer.Body)
			message := "\x00\x00\x00\x00\x02{}"
			if want := strings.Repeat(message, 3) + "\x02" + message[1:]; err != nil || string(got) != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

// Whoever does not take what is sent must not hold up the server when it stops.
func TestAStreamThatNobodyTakesEndsWithTheServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heavy := make([]byte, 1<<20)
	_, _ = rand.Read(heavy) // never fails
	for i := range heavy {
		heavy[i] &= 0x7f // text
	}
	blocked, ended := make(chan struct{}), make(chan error, 1)
	sends := make(chan struct{}, 1000)
	server, err := New(ServerConfig{
		Name: "test", Listener: listener, Logger: slog.New(slog.DiscardHandler),
		Handler: streaming(func(_ context.Context, out *connect.ServerStream[musterv1.ErrorDetail]) error {
			for {
				sends <- struct{}{}
				if err := out.Send(&musterv1.ErrorDetail{Field: string(heavy)}); err != nil {
					ended <- err
					return err
				}
			}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := connect.NewClient[musterv1.ErrorDetail, musterv1.ErrorDetail](&http.Client{Transport: transport}, "http://"+server.Addr()+streamed)
	call, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	in, err := client.CallServerStream(call, connect.NewRequest(&musterv1.ErrorDetail{}))
	if err != nil || !in.Receive() {
		t.Fatalf("no first message: %v", err)
	}
	defer in.Close() //nolint:errcheck // of a test
	defer giveUp()   // else Close reads on
	go func() {
		for still := time.NewTimer(time.Second); ; {
			select {
			case <-sends:
				still.Reset(time.Second)
			case <-still.C:
				close(blocked)
				return
			}
		}
	}()
	<-blocked
	began := time.Now()
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the stream did not end")
	}
	if took := time.Since(began); took >= shutdownTimeout {
		t.Errorf("the shutdown took %s", took)
	}
}
