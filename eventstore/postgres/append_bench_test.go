package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

const (
	// benchTurn is how long one side writes before the other does.
	benchTurn = 100 * time.Millisecond
	// benchCommands is how many commands each stream has.
	benchCommands = 4
)

// The rival has the columns, the indexes and the constraints of the log.
const (
	rivalTable = `
CREATE TABLE log.rival (LIKE log.events INCLUDING ALL);
GRANT SELECT, INSERT ON log.rival TO muster_runtime`
	rivalOne = `
INSERT INTO log.rival (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at, payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	rivalMany = `
INSERT INTO log.rival (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at, payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::text[], $6::integer[], $7::timestamptz[], $8::jsonb[], $9::bytea[], $10::uuid[], $11::jsonb[], $12::bytea[], $13::uuid[])`
)

// BenchmarkAppend measures Append against plain pgx that writes the same bytes to
// a table like the log's. Both sides take turns; an operation is a turn of each.
// Reported are the ratio of their events per second, median, least and greatest,
// and the medians themselves.
func BenchmarkAppend(b *testing.B) {
	log := newFixture(b)
	log.asOwner(b, rivalTable)
	for _, shape := range []struct {
		events, writers int
		named           bool
	}{
		{events: 1, writers: 1},
		{events: 1, writers: 8},
		{events: 1, writers: 32},
		{events: 10, writers: 8},
		// With all that a registration brings, which the rival has none of.
		{events: 1, writers: 8, named: true},
	} {
		b.Run(fmt.Sprintf("events=%d/writers=%d/named=%t", shape.events, shape.writers, shape.named), func(b *testing.B) {
			ours := func(ctx context.Context, stream string, version int64) error {
				return appendSealed(ctx, log.Log, stream, version, shape.events, shape.named)
			}
			rival := func(ctx context.Context, stream string, version int64) error {
				return insertSealed(ctx, log.Log, stream, version, shape.events)
			}
			var ratios, appended, inserted []float64
			for turn := 0; b.Loop(); turn++ {
				var a, i float64
				if turn%2 == 0 {
					a, i = write(b, shape.writers, shape.events, ours), write(b, shape.writers, shape.events, rival)
				} else {
					i, a = write(b, shape.writers, shape.events, rival), write(b, shape.writers, shape.events, ours)
				}
				ratios, appended, inserted = append(ratios, a/i), append(appended, a), append(inserted, i)
			}
			slices.Sort(ratios)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(ratios[0], "least")
			b.ReportMetric(ratios[len(ratios)-1], "greatest")
			b.ReportMetric(median(appended), "events/s")
			b.ReportMetric(median(inserted), "pgx-events/s")
		})
	}
}

// BenchmarkAppendLockWaits samples what 32 writers at full speed wait for: the
// share of active sessions that wait for a lock, and of them for one to make the
// table or an index longer, which any writer of such a table waits for.
func BenchmarkAppendLockWaits(b *testing.B) {
	log := newFixture(b)
	watcher := openPool(b, log.urls.Runtime) // a role sees its own sessions
	for _, named := range []bool{false, true} {
		b.Run(fmt.Sprintf("named=%t", named), func(b *testing.B) {
			var active, locked, extending int64
			for b.Loop() {
				ctx, stop := context.WithCancel(b.Context())
				var watching sync.WaitGroup
				watching.Go(func() {
					for ctx.Err() == nil {
						var a, l, e int64
						if err := watcher.QueryRow(b.Context(), `
SELECT count(*), count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FILTER (WHERE wait_event_type = 'Lock' AND wait_event = 'extend')
FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`).Scan(&a, &l, &e); err != nil {
							b.Error(err)
							return
						}
						active, locked, extending = active+a, locked+l, extending+e
					}
				})
				write(b, 32, 1, func(ctx context.Context, stream string, version int64) error {
					return appendSealed(ctx, log.Log, stream, version, 1, named)
				})
				stop()
				watching.Wait()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(100*float64(locked)/float64(max(1, active)), "%locked")
			b.ReportMetric(100*float64(extending)/float64(max(1, active)), "%extending")
			b.ReportMetric(float64(active), "samples")
		})
	}
}

// BenchmarkAppendAll measures an import of a thousand people by two events, in
// one call, against an append for each.
func BenchmarkAppendAll(b *testing.B) {
	log := newFixture(b)
	const people = 1000
	for name, run := range map[string]func([]eventstore.Append) error{
		"at once": func(appends []eventstore.Append) error {
			_, err := log.AppendAll(b.Context(), appends, nil)
			return err
		},
		"one by one": func(appends []eventstore.Append) error {
			for _, a := range appends {
				if _, err := log.Append(b.Context(), a); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				appends := make([]eventstore.Append, people)
				for i := range appends {
					id := uuid.New()
					appends[i] = eventstore.Append{
						Stream: newStream(), Events: []eventstore.Event{sealedEvent(), sealedEvent()},
						Reserve: []eventstore.Reservation{{Kind: "username", Hash: append(id[:], id[:]...), KeyID: "k"}},
					}
				}
				b.StartTimer()
				if err := run(appends); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(2*people*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// write lets writers write for a turn and gives the events per second.
func write(b *testing.B, writers, events int, one func(ctx context.Context, stream string, version int64) error) float64 {
	b.Helper()
	// As every served call has one; without it Append sets a timer of its own,
	// some 4 µs with eight writers.
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	var written atomic.Int64
	began := time.Now()
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			stream, version := newStream(), int64(0)
			for commands := 0; time.Since(began) < benchTurn; commands++ {
				if commands%benchCommands == 0 {
					stream, version = newStream(), 0
				}
				if err := one(ctx, stream, version); err != nil {
					b.Error(err)
					return
				}
				version += int64(events)
				written.Add(int64(events))
			}
		})
	}
	writing.Wait()
	return float64(written.Load()) / time.Since(began).Seconds()
}

func appendSealed(ctx context.Context, log *Log, stream string, version int64, n int, named bool) error {
	a := eventstore.Append{Stream: stream, Expected: eventstore.ExpectedVersion(version), Events: make([]eventstore.Event, n)}
	for i := range a.Events {
		a.Events[i] = sealedEvent()
	}
	if named {
		id := uuid.New()
		a.Command = &eventstore.Command{Caller: "anonymous", Method: "Register", Key: id.String(), Fingerprint: id[:]}
		a.Reserve = []eventstore.Reservation{{Kind: "username", Hash: append(id[:], id[:]...), KeyID: "k"}}
	}
	_, err := log.Append(ctx, a)
	return err
}

func insertSealed(ctx context.Context, log *Log, stream string, version int64, n int) error {
	if n == 1 {
		e := sealedEvent()
		_, err := log.pool.Exec(ctx, rivalOne, e.ID, stream, version+1, eventstore.ShardOf(stream), e.Type, e.SchemaVersion, e.OccurredAt,
			benchPayload, e.Sealed, benchKey, benchMetadata, e.MetadataSealed, benchKey)
		return err
	}
	ids, streams, versions, shards, types := make([]uuid.UUID, n), make([]string, n), make([]int64, n), make([]int32, n), make([]string, n)
	schemas, times, keys := make([]int32, n), make([]time.Time, n), make([]uuid.UUID, n)
	payloads, metadata := make([]json.RawMessage, n), make([]json.RawMessage, n)
	sealed, metadataSealed := make([][]byte, n), make([][]byte, n)
	for i := range n {
		e := sealedEvent()
		ids[i], streams[i], versions[i], shards[i], types[i] = e.ID, stream, version+int64(i)+1, eventstore.ShardOf(stream), e.Type
		schemas[i], times[i], keys[i], payloads[i], metadata[i] = e.SchemaVersion, e.OccurredAt, benchKey, benchPayload, benchMetadata
		sealed[i], metadataSealed[i] = e.Sealed, e.MetadataSealed
	}
	_, err := log.pool.Exec(ctx, rivalMany, ids, streams, versions, shards, types, schemas, times, payloads, sealed, keys, metadata, metadataSealed, keys)
	return err
}

// What an event of a registration holds. The rival is given its metadata as
// bytes and its keys as ids, which Append has to make.
var (
	benchKey      = uuid.MustParse("0192c0de-0000-7000-8000-000000000001")
	benchPayload  = json.RawMessage(`{"userId": "0192c0de-0000-7000-8000-000000000002", "roles": ["member"], "locale": "de-CH", "text": "` + strings.Repeat("x", 50) + `"}`)
	benchSealed   = bytes.Repeat([]byte{0x5a}, 120)
	benchOrigin   = bytes.Repeat([]byte{0xa5}, 100)
	benchMetadata = json.RawMessage(`{"actor":"user-0192c0de-0000-7000-8000-000000000002","requestId":"0192c0de-0000-7000-8000-000000000003","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`)
)

func sealedEvent() eventstore.Event {
	return eventstore.Event{
		ID: uuid.Must(uuid.NewV7()), Type: "muster.identity.events.v1.UserRegistered", SchemaVersion: 1, OccurredAt: time.Now().UTC(),
		Payload: benchPayload, Sealed: benchSealed, KeyID: "0192c0de-0000-7000-8000-000000000001",
		Metadata: eventstore.Metadata{
			Actor: "user-0192c0de-0000-7000-8000-000000000002", RequestID: "0192c0de-0000-7000-8000-000000000003",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		MetadataSealed: benchOrigin, MetadataKeyID: "0192c0de-0000-7000-8000-000000000001",
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
