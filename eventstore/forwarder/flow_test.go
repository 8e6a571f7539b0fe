package forwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// flow is a log on a real PostgreSQL and a broker on a real RabbitMQ.
type flow struct {
	log        *postgres.Log
	urls       database.URLs
	url        string
	connection *broker.Connection
}

var users = broker.Topology{Queue: "credentials.access", Bindings: []string{"identity.user.*"}}

func newFlow(t testing.TB) flow {
	t.Helper()
	urls := teststack.Database(t, append(tables(), database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})...)
	pool, err := database.Open(t.Context(), urls.Runtime, "test", 20)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	url := teststack.VirtualHost(t)
	return flow{log: log, urls: urls, url: url, connection: connect(t, url, slog.New(slog.DiscardHandler))}
}

func connect(t testing.TB, url string, logger *slog.Logger) *broker.Connection {
	t.Helper()
	connection, err := broker.Connect(t.Context(), broker.Config{URL: secret.New(url), Logger: logger})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, connection.Close()) })
	return connection
}

func (f flow) forwarder() *Forwarder {
	return New(f.log, Config{Publisher: broker.NewPublisher(f.connection), Logger: slog.New(slog.DiscardHandler), Batch: 50})
}

// subscribe returns once the queue is bound: of a batch that is published
// meanwhile the later part would arrive first.
func (f flow) subscribe(t testing.TB) <-chan *message.Message {
	t.Helper()
	bound := &begun{line: []byte("msg=consuming"), seen: make(chan struct{})}
	subscriber := broker.NewSubscriber(connect(t, f.url, slog.New(slog.NewTextHandler(bound, nil))), users)
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
	select {
	case <-bound.seen:
	case <-time.After(patience):
		t.Fatal("the queue is not consumed")
	}
	return received
}

// begun is a log that waits for a line.
type begun struct {
	line []byte
	once sync.Once
	seen chan struct{}
}

func (b *begun) Write(line []byte) (int, error) {
	if bytes.Contains(line, b.line) {
		b.once.Do(func() { close(b.seen) })
	}
	return len(line), nil
}

// append appends an event at a version of a stream.
func (f flow) append(ctx context.Context, stream string, version int64) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = f.log.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.ExpectedVersion(version - 1), Events: []eventstore.Event{{
		ID: id, Type: "muster.identity.events.v1.UserRegistered", SchemaVersion: 1, OccurredAt: time.Now().UTC(), Payload: []byte(`{"n": 1}`),
	}}})
	return err
}

// write appends the versions from to to of each stream, all streams at once.
func (f flow) write(t testing.TB, streams int, from, to int64) {
	t.Helper()
	var writing sync.WaitGroup
	for i := range streams {
		writing.Go(func() {
			for version := from; version <= to; version++ {
				if err := f.append(t.Context(), fmt.Sprintf("user-%d", i), version); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
}

func (f flow) checkpoint(t testing.TB) eventstore.Cursor {
	t.Helper()
	lead, err := f.log.Lead(t.Context(), reader)
	require.NoError(t, err)
	defer lead.Close()
	cursor, err := lead.Checkpoint(t.Context())
	require.NoError(t, err)
	return cursor
}

// arrivals checks what arrives: of each stream first deliveries in order.
type arrivals struct {
	versions map[string]int64
	repeated int
}

// until takes messages until all streams are at a version.
func (a *arrivals) until(t testing.TB, received <-chan *message.Message, streams int, version int64) {
	t.Helper()
	limit := time.After(patience)
	for complete := 0; complete < streams; {
		select {
		case next := <-received:
			event, err := broker.Decode(next)
			require.NoError(t, err)
			at := a.versions[event.Stream]
			require.LessOrEqual(t, event.Version, at+1, "a version of %s was passed over", event.Stream)
			if event.Version <= at {
				a.repeated++
			} else if a.versions[event.Stream] = event.Version; event.Version == version {
				complete++
			}
			next.Ack()
		case <-limit:
			t.Fatalf("not all versions have arrived, only %v", a.versions)
		}
	}
}

func TestEveryEventArrivesInOrderAndARestartGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	received := f.subscribe(t)
	seen := arrivals{versions: make(map[string]int64)}
	for restart := range int64(3) {
		stop := running(t, f.forwarder())
		f.write(t, 12, 1+restart*20, 20+restart*20)
		seen.until(t, received, 12, 20+restart*20)
		stop()
	}
	f.write(t, 12, 61, 80) // while none runs
	running(t, f.forwarder())
	seen.until(t, received, 12, 80)
	// A page that was confirmed and not saved when one was stopped comes again.
	require.LessOrEqual(t, seen.repeated, 3*50)
}

func TestConnectionsThatAreCutLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	received := f.subscribe(t)
	running(t, f.forwarder())
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { f.write(t, 8, 1, 150) })
	seen := arrivals{versions: make(map[string]int64)}
	seen.until(t, received, 8, 10)
	require.Eventually(t, func() bool { return teststack.CloseConnections(t, f.url) > 0 }, patience, 50*time.Millisecond)
	working.Wait()
	f.write(t, 8, 151, 160)
	seen.until(t, received, 8, 160)
}

func TestWithoutAQueueTheCheckpointStaysAndNothingIsLost(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	f.write(t, 2, 1, 3)
	forwarder := f.forwarder()
	stop := running(t, forwarder)
	var unroutable *broker.UnroutableError
	require.Eventually(t, func() bool { return errors.As(forwarder.Stats().Err, &unroutable) }, patience, 10*time.Millisecond)
	require.Len(t, unroutable.IDs, 6)
	stop()
	require.Empty(t, f.checkpoint(t))

	received := f.subscribe(t)
	running(t, f.forwarder())
	seen := arrivals{versions: make(map[string]int64)}
	seen.until(t, received, 2, 3)
	require.Zero(t, seen.repeated)
}

func TestAWipedBrokerIsFilledAgain(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	received := f.subscribe(t)
	running(t, f.forwarder())
	seen := arrivals{versions: make(map[string]int64)}
	f.write(t, 1, 1, 1)
	seen.until(t, received, 1, 1)

	connection, err := amqp.Dial(f.url)
	require.NoError(t, err)
	defer connection.Close() //nolint:errcheck // the test's own
	channel, err := connection.Channel()
	require.NoError(t, err)
	for version := int64(2); version <= 4; version++ {
		_, err = channel.QueueDelete(users.Queue, false, false, false)
		require.NoError(t, err)
		require.NoError(t, channel.ExchangeDelete(broker.Exchange, false, false))
		f.write(t, 1, version, version)
		seen.until(t, received, 1, version)
	}
}

func TestOnlyOneForwardsAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	f := newFlow(t)
	received := f.subscribe(t)
	first, second := f.forwarder(), f.forwarder()
	stop := running(t, first)
	require.Eventually(t, func() bool { return first.Stats().Leading }, patience, 10*time.Millisecond)
	running(t, second)
	seen := arrivals{versions: make(map[string]int64)}
	f.write(t, 3, 1, 10)
	seen.until(t, received, 3, 10)
	require.False(t, second.Stats().Leading)
	require.Zero(t, seen.repeated)
	stop()
	f.write(t, 3, 11, 20)
	seen.until(t, received, 3, 20)
	require.True(t, second.Stats().Leading)
}
