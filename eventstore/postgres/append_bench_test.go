package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

// BenchmarkAppend measures an append of one event of 300 bytes, bare and with
// all that a registration brings, against a plain INSERT of the same row, the limit.
func BenchmarkAppend(b *testing.B) {
	log := newFixture(b)
	payload := []byte(`{"text": "` + strings.Repeat("x", 286) + `"}`)
	event := func(b *testing.B) eventstore.Event {
		events := newEvents(b, 1)
		events[0].Payload = payload
		return events[0]
	}
	const insert = `
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at, payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	for name, write := range map[string]func(b *testing.B, stream string, version int64) error{
		"plain INSERT": func(b *testing.B, stream string, version int64) error {
			e := event(b)
			metadata, err := json.Marshal(e.Metadata)
			if err != nil {
				return err
			}
			_, err = log.pool.Exec(b.Context(), insert, e.ID, stream, version+1, eventstore.ShardOf(stream), e.Type, e.SchemaVersion,
				e.OccurredAt, e.Payload, nil, nil, metadata, nil, nil)
			return err
		},
		"Append": func(b *testing.B, stream string, version int64) error {
			_, err := log.Append(b.Context(), eventstore.Append{
				Stream: stream, Expected: eventstore.ExpectedVersion(version), Events: []eventstore.Event{event(b)},
			})
			return err
		},
		"Append with command and name": func(b *testing.B, stream string, version int64) error {
			id := uuid.New()
			_, err := log.Append(b.Context(), eventstore.Append{
				Stream: stream, Expected: eventstore.ExpectedVersion(version), Events: []eventstore.Event{event(b)},
				Command: &eventstore.Command{Caller: "anonymous", Method: "Register", Key: id.String(), Fingerprint: id[:]},
				Reserve: []eventstore.Reservation{{Kind: "username", Hash: id[:], KeyID: "k"}},
			})
			return err
		},
	} {
		for _, writers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var writing sync.WaitGroup
				for range writers {
					writing.Go(func() {
						stream := newStream()
						for version := int64(0); left.Add(-1) >= 0; version++ {
							if err := write(b, stream, version); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				writing.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
