package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
)

// tallies counts the events of each stream, so that what is applied twice shows.
type tallies struct{}

// tables are those of the projection and of every projection.
func tables() []database.Migrations {
	return []database.Migrations{
		{Schema: "read", Part: "projection_", Files: projection.Migrations},
		{Schema: "read", Part: "tallies_", Files: fstest.MapFS{"00001_tallies.sql": {Data: []byte(`-- +goose Up
CREATE TABLE read.tallies (
    generation bigint NOT NULL,
    stream_id  text   NOT NULL,
    events     bigint NOT NULL,
    CONSTRAINT tallies_one_a_stream PRIMARY KEY (generation, stream_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON read.tallies TO muster_runtime;
`)}}},
	}
}

func (tallies) Name() string { return "tallies" }

func (tallies) Tables() []projection.Table {
	return []projection.Table{{Name: "read.tallies", Key: []string{"stream_id"}}}
}

func (tallies) Handles(string) bool { return true }

func (tallies) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	var batch pgx.Batch
	for _, event := range events {
		batch.Queue(`INSERT INTO read.tallies AS t (generation, stream_id, events) VALUES ($1, $2, 1)
			ON CONFLICT (generation, stream_id) DO UPDATE SET events = t.events + 1`, generation, event.Stream)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// unsealed opens events of which only the envelope is looked at.
type unsealed struct{}

func (unsealed) Decode(_ context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	opened := make([]eventstore.Opened, len(events))
	for i, event := range events {
		opened[i] = eventstore.Opened{Event: event, Message: &emptypb.Empty{}}
	}
	return opened, nil
}

// rows are what a projection makes of the log, as a service runs one: from a
// queue of its own, and from the tail.
type rows struct {
	pool *pgxpool.Pool
	made *projection.Projector
}

func (f flow) rows(t *testing.T) rows {
	t.Helper()
	pool, err := database.Open(t.Context(), f.urls.Runtime, "rows", 8)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	silent := slog.New(slog.DiscardHandler)
	own := broker.Topology{Queue: "credentials.tallies", Bindings: users.Bindings}
	subscriber := broker.NewSubscriber(connect(t, f.url, silent), own)
	t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
	made := projection.New(projection.Config{
		Pool: pool, Log: "identity", Projection: tallies{}, Codec: unsealed{}, Source: f.log,
		Subscriber: subscriber, Queue: own.Queue, Decode: broker.Decode, Logger: silent,
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return rows{pool: pool, made: made}
}

// want waits until the rows hold a stream up to a version, each event of it once.
func (r rows) want(t *testing.T, f flow, stream string, version int64) {
	t.Helper()
	at := eventstore.Position{Log: "identity", Epoch: f.log.Epoch(), Stream: stream, Version: version}
	err := r.made.Await(t.Context(), at)
	for tries := 0; tries < 10 && errors.Is(err, projection.ErrNotApplied); tries++ { // on a busy machine
		err = r.made.Await(t.Context(), at)
	}
	require.NoError(t, err)
	var events int64
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT events FROM read.tallies WHERE stream_id = $1`, stream).Scan(&events))
	require.Equal(t, version, events, "events of %s in its row", stream)
}
