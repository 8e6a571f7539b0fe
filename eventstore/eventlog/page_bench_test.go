package eventlog_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

// pages are full of events as they are: 100 bytes of payload, as many sealed.
type pages struct {
	eventlog.Reader
	events []eventstore.Event
}

func newPages(count int) pages {
	p := pages{events: make([]eventstore.Event, count)}
	for i := range p.events {
		user, key := uuid.NewString(), uuid.New()
		p.events[i] = eventstore.Event{
			ID: uuid.Must(uuid.NewV7()), Log: "identity", Epoch: 1, Stream: "user-" + user, Version: 1, Shard: 1,
			Type: "muster.identity.events.v1.UserRegistered", SchemaVersion: 1, OccurredAt: time.Now().UTC(),
			Payload: []byte(`{"userId": "` + user + `", "roles": ["auditor", "admin"]}`), Sealed: append(key[:], make([]byte, 84)...), KeyID: key.String(),
			Metadata:       eventstore.Metadata{Actor: "user-" + user, RequestID: uuid.NewString(), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			MetadataSealed: append(key[:], make([]byte, 64)...), MetadataKeyID: key.String(),
		}
		for j := range p.events[i].Sealed { // nothing to be packed
			p.events[i].Sealed[j] ^= user[j%36] ^ byte(i*j)
		}
	}
	return p
}

func (p pages) ReadMatching(context.Context, eventstore.Filter, eventstore.Cursor, int, time.Duration) (eventstore.Page, error) {
	return eventstore.Page{Events: p.events, Next: "next", Epoch: 1, Remaining: 1}, nil
}

func BenchmarkConversions(b *testing.B) {
	p := newPages(1)
	proto := eventlog.ToProto(p.events[0])
	b.Run("to proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			eventlog.ToProto(p.events[0])
		}
	})
	b.Run("from proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := eventlog.FromProto(proto); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPage reads a page over TLS, as services do.
func BenchmarkPage(b *testing.B) {
	p := newPages(4000)
	_, handler := eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(p))
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for name, options := range map[string][]connect.ClientOption{
		"gzip":  {connect.WithGRPC()},
		"plain": {connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			client := eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(server.Client(), server.URL, options...))
			for b.Loop() {
				page, err := client.ReadLog(b.Context(), "", 5000, 0)
				if err != nil || len(page.Events) != len(p.events) {
					b.Fatalf("%d events, %v", len(page.Events), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(p.events)), "ns/event")
		})
	}
}
