package eventlog_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// A log is followed over mTLS as it is read: by those on the method's list, by
// the rules of the proto, and until the service stops.
func TestFollowersAreHeldToTheRulesOfOtherCalls(t *testing.T) {
	t.Parallel()
	s := newService(t)
	raw := s.as(t, "credentials")
	for name, c := range map[string]struct {
		client eventlogv1connect.EventLogServiceClient
		asked  *eventlogv1.FollowLogRequest
		want   musterv1.Reason
		field  string
	}{
		"a service that is not on the list": {s.as(t, "gateway"), &eventlogv1.FollowLogRequest{}, musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"too large a page":                  {raw, &eventlogv1.FollowLogRequest{Limit: 5001}, musterv1.Reason_REASON_INVALID_ARGUMENT, "limit"},
		"a type without a name":             {raw, &eventlogv1.FollowLogRequest{Filter: &eventlogv1.Filter{Types: []string{""}}}, musterv1.Reason_REASON_INVALID_ARGUMENT, "filter.types[0]"},
		"a cursor of nobody":                {raw, &eventlogv1.FollowLogRequest{Cursor: "x"}, musterv1.Reason_REASON_INVALID_ARGUMENT, "cursor"},
	} {
		stream, err := c.client.FollowLog(t.Context(), connect.NewRequest(c.asked))
		if err != nil {
			t.Fatal(err)
		}
		if stream.Receive() {
			t.Errorf("%s: there was a page", name)
		}
		if detail, _ := reason.DetailOf(stream.Err()); reason.Of(stream.Err()) != c.want || detail.GetField() != c.field {
			t.Errorf("%s: %v, want %s of %q", name, stream.Err(), c.want, c.field)
		}
		_ = stream.Close()
	}
	// Whoever may follows until the service stops, and is then told no error.
	stopped, away := errors.New("the service has stopped"), false
	ctx, giveUp := context.WithCancelCause(t.Context())
	err := eventlog.NewClient(raw).Follow(ctx, eventlog.Following{Lost: func(err error) {
		if !away && err != nil {
			t.Errorf("the stream ended with %v", err)
		}
		away = true
		giveUp(stopped)
	}}, func(context.Context, eventstore.Page) error {
		s.stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(context.Cause(ctx), stopped) {
		t.Errorf("%v because %v", err, context.Cause(ctx))
	}
}

// service is a log as a service serves it, over mTLS and through its interceptors.
type service struct {
	served
	directory, address string
	// stop makes the service begin to stop.
	stop func()
}

func newService(t testing.TB) service {
	t.Helper()
	s := service{served: newServed(t), directory: t.TempDir()}
	if err := certificate.MakeAuthority(s.directory, "identity", "credentials", "gateway"); err != nil {
		t.Fatal(err)
	}
	self, err := certificate.Load(s.directory, "identity")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	logger := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(
		eventlog.NewHandler(eventlog.Patient(s.log, ctx.Done())), serve.Interceptors(serve.Config{Logger: logger})))
	server, err := serve.New(serve.ServerConfig{Name: "identity", Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	s.address = "https://" + server.Addr()
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s service) as(t testing.TB, caller string) eventlogv1connect.EventLogServiceClient {
	t.Helper()
	self, err := certificate.Load(s.directory, caller)
	if err != nil {
		t.Fatal(err)
	}
	client := serve.InternalClient(self, "identity", s.address)
	t.Cleanup(client.CloseIdleConnections)
	return eventlogv1connect.NewEventLogServiceClient(client, s.address, serve.ClientInterceptors())
}
