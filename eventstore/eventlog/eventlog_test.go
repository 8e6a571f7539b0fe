package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a log, and the same log as another service reads it.
type served struct {
	*eventlog.Client
	log *postgres.Log
	raw eventlogv1connect.EventLogServiceClient
}

func (s served) Append(ctx context.Context, a eventstore.Append) (eventstore.Appended, error) {
	return s.log.Append(ctx, a)
}

func (s served) AppendAll(ctx context.Context, appends []eventstore.Append, command *eventstore.Command) ([]eventstore.Appended, error) {
	return s.log.AppendAll(ctx, appends, command)
}

func newServed(t testing.TB) served {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), urls.Runtime, "test", 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, handler := eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(log))
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	raw := eventlogv1connect.NewEventLogServiceClient(server.Client(), server.URL, connect.WithGRPC())
	return served{Client: eventlog.NewClient(raw), log: log, raw: raw}
}

func TestAServedLogReadsLikeTheLogItself(t *testing.T) {
	t.Parallel()
	eventtest.RunStore(t, func(t *testing.T) eventtest.StoreUnderTest { return newServed(t) })
}

func TestAServedLogSaysThatTheEpochChanged(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	page, err := s.log.ReadLog(t.Context(), "", 1, 0)
	if err != nil || !page.AtHead {
		t.Fatalf("at the head %t, %v", page.AtHead, err)
	}
	handler := eventlog.NewHandler(changed{s.log})
	_, err = handler.ReadLog(t.Context(), connect.NewRequest(&eventlogv1.ReadLogRequest{Cursor: string(page.Next)}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("%v, want failed_precondition", err)
	}
	_, mux := eventlogv1connect.NewEventLogServiceHandler(handler)
	server := httptest.NewServer(mux)
	defer server.Close()
	client := eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(server.Client(), server.URL))
	if _, err := client.ReadLog(t.Context(), page.Next, 1, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("%v, want ErrEpochChanged", err)
	}
}

// changed is a log that has entered a new epoch.
type changed struct{ eventlog.Reader }

func (changed) ReadMatching(context.Context, eventstore.Filter, eventstore.Cursor, int, time.Duration) (eventstore.Page, error) {
	return eventstore.Page{}, fmt.Errorf("read log: %w", eventstore.ErrEpochChanged)
}

func TestResponsesAreBoundedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	const count = 12
	events := make([]eventstore.Event, count)
	for i := range events {
		events[i] = eventstore.Event{
			ID: uuid.Must(uuid.NewV7()), Type: "test.v1.Happened", SchemaVersion: 1, OccurredAt: time.Now(),
			Payload: []byte(`{}`), Sealed: bytes.Repeat([]byte{byte(i)}, 1<<20), KeyID: uuid.NewString(),
		}
	}
	if _, err := s.log.Append(t.Context(), eventstore.Append{Stream: "thing-1", Expected: eventstore.NoStream, Events: events}); err != nil {
		t.Fatal(err)
	}
	const most = 3<<20 + 4096
	var all []*eventlogv1.Event
	for cursor, head := "", false; !head; {
		response, err := s.raw.ReadLog(t.Context(), connect.NewRequest(&eventlogv1.ReadLogRequest{Cursor: cursor, Limit: 5000}))
		if err != nil {
			t.Fatal(err)
		}
		if size := proto.Size(response.Msg); size > most {
			t.Errorf("a response of %d bytes", size)
		}
		all = append(all, response.Msg.GetEvents()...)
		cursor, head = response.Msg.GetNextCursor(), response.Msg.GetAtHead()
	}
	for i, event := range all {
		if event.GetVersion() != int64(i+1) {
			t.Fatalf("version %d in place %d", event.GetVersion(), i)
		}
	}
	if len(all) != count {
		t.Errorf("%d events, want %d", len(all), count)
	}
	response, err := s.raw.ReadStream(t.Context(), connect.NewRequest(&eventlogv1.ReadStreamRequest{Stream: "thing-1"}))
	if err != nil || proto.Size(response.Msg) > most {
		t.Errorf("a response of %d bytes, %v", proto.Size(response.Msg), err)
	}
	if stream, err := s.ReadStream(t.Context(), "thing-1", 1, 100); err != nil || len(stream) != count {
		t.Errorf("the client read %d events of the stream, %v; want %d", len(stream), err, count)
	}
}

// A reader that bounds its pages by count alone must not break the bound.
func TestResponsesAreBoundedWhateverTheReaderGives(t *testing.T) {
	t.Parallel()
	reader := &heavy{}
	response, err := eventlog.NewHandler(reader).ReadLog(t.Context(), connect.NewRequest(&eventlogv1.ReadLogRequest{Limit: 100}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(response.Msg.GetEvents()); n != 2 || response.Msg.GetNextCursor() != "2" {
		t.Errorf("%d events up to cursor %s, want 2 up to 2", n, response.Msg.GetNextCursor())
	}
}

// heavy has no end of events of more than 1 MiB.
type heavy struct{ eventlog.Reader }

func (heavy) ReadMatching(_ context.Context, _ eventstore.Filter, _ eventstore.Cursor, limit int, _ time.Duration) (eventstore.Page, error) {
	page := eventstore.Page{Next: eventstore.Cursor(fmt.Sprint(limit)), Epoch: 1}
	for range limit {
		page.Events = append(page.Events, eventstore.Event{Sealed: make([]byte, 1<<20)})
	}
	return page, nil
}

func TestAWaitLeavesTimeForTheAnswer(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	page, err := s.log.ReadLog(t.Context(), "", 1, 0)
	if err != nil || !page.AtHead {
		t.Fatalf("at the head %t, %v", page.AtHead, err)
	}
	var answered error
	for range 5 { // a busy machine may need longer for one than is left
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		response, err := s.raw.ReadLog(ctx, connect.NewRequest(&eventlogv1.ReadLogRequest{Cursor: string(page.Next), WaitMs: 30000}))
		cancel()
		if err == nil {
			if !response.Msg.GetAtHead() {
				t.Errorf("%v, want an empty page", response)
			}
			return
		}
		answered = err
	}
	t.Errorf("%v, want an answer before the deadline", answered)
}

func TestEventsThatNoLogRecordedAreRefused(t *testing.T) {
	t.Parallel()
	whole := eventlog.ToProto(eventstore.Event{
		ID: uuid.Must(uuid.NewV7()), Log: "identity", Epoch: 1, Stream: "thing-1", Version: 1, Type: "test.v1.Happened", OccurredAt: time.Now(),
	})
	if _, err := eventlog.FromProto(whole); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*eventlogv1.Event){
		"no id":        func(e *eventlogv1.Event) { e.Id = "" },
		"no stream":    func(e *eventlogv1.Event) { e.Stream = "" },
		"no version":   func(e *eventlogv1.Event) { e.Version = 0 },
		"no type":      func(e *eventlogv1.Event) { e.Type = "" },
		"no time":      func(e *eventlogv1.Event) { e.OccurredAt = nil },
		"odd metadata": func(e *eventlogv1.Event) { e.Metadata = []byte("{") },
	} {
		event := proto.CloneOf(whole)
		spoil(event)
		if _, err := eventlog.FromProto(event); err == nil {
			t.Errorf("an event with %s was accepted", name)
		}
	}
}
