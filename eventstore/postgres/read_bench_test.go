package postgres

import (
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

// BenchmarkReadLog reads a log from its beginning, as a rebuild does, by pages of
// 5000 events, two of a command.
func BenchmarkReadLog(b *testing.B) {
	const count = 20_000
	log := newFixture(b)
	for range count / 2 {
		events := newEvents(b, 2)
		user := uuid.NewString()
		for i := range events {
			events[i].Payload = []byte(`{"userId":"` + user + `","roles":["auditor","admin"]}`)
			events[i].Sealed, events[i].KeyID = make([]byte, 100), user
			events[i].MetadataSealed, events[i].MetadataKeyID = make([]byte, 80), user
			events[i].Metadata = eventstore.Metadata{Actor: "user-" + user, RequestID: user, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		}
		if _, err := log.Append(b.Context(), eventstore.Append{Stream: "user-" + user, Expected: eventstore.NoStream, Events: events}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		read := 0
		var page eventstore.Page
		for !page.AtHead {
			var err error
			if page, err = log.ReadLog(b.Context(), page.Next, maxPage, 0); err != nil {
				b.Fatal(err)
			}
			read += len(page.Events)
		}
		if read != count {
			b.Fatalf("%d events, want %d", read, count)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/event")
}
