package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
)

// The real log, written by several at once while it is followed.
func TestRealLogMakesTheRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.pool = openPool(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	log, err := postgres.Open(t.Context(), b.pool, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := log.Run(ctx); err != nil {
			t.Errorf("run log: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	p := b.projectorOf(log)
	launch(t, p)

	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := range 50 {
				stream := fmt.Sprintf("user-%d", (writer+i)%5)
				for {
					appended, err := log.Append(t.Context(), eventstore.Append{
						Stream: stream, Expected: eventstore.AnyVersion,
						Events: []eventstore.Event{happened(counted), happened(ignored)},
					})
					if errors.Is(err, eventstore.ErrWrongVersion) {
						continue
					}
					if err == nil && i%10 == 0 { // its own write, read
						err = p.Await(t.Context(), appended.Position)
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	writers.Wait()

	var all []eventstore.Event
	for stream := range 5 {
		events, err := log.ReadStream(t.Context(), fmt.Sprintf("user-%d", stream), 1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
		last := events[len(events)-1]
		if err := p.Await(t.Context(), eventstore.Position{Log: "test", Epoch: last.Epoch, Stream: last.Stream, Version: last.Version}); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 400 {
		t.Errorf("%d events in the log, want 400", len(all))
	}
	b.wantFold(t, all)
}

func happened(eventType string) eventstore.Event {
	return eventstore.Event{
		ID: uuid.Must(uuid.NewV7()), Type: eventType, SchemaVersion: 1, OccurredAt: time.Now().UTC(), Payload: []byte(`{"n": 1}`),
	}
}
