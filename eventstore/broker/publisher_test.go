package broker

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/teststack"
)

// depth is how many messages are ready in a queue.
func depth(t testing.TB, channel *amqp.Channel, queue string) int {
	t.Helper()
	found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(t, err)
	return found.Messages
}

func TestTheWholeBatchIsSentBeforeAConfirmIsAwaited(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	n, distant := through(t, url)
	publisher := NewPublisher(connected(t, distant))
	require.NoError(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)))

	n.silence() // no confirm comes back
	done := make(chan error, 1)
	batch := events(t, 3, 500)
	go func() { done <- publisher.PublishBatch(context.WithoutCancel(t.Context()), batch) }()
	looking := raw(t, url)
	eventually(t, "batch is in the queue without a confirm", func() bool { return depth(t, looking, users.Queue) == 501 })
	require.Empty(t, done)
	n.hear()
	require.NoError(t, <-done)
}

func TestAConfirmThatNeverComesTimesOut(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	n, distant := through(t, url)
	connection := connected(t, distant)
	publisher := NewPublisher(connection)
	publisher.confirmTimeout = 500 * time.Millisecond
	require.NoError(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)))

	n.silence()
	release := time.AfterFunc(time.Second, n.hear) // or closing the channel takes as long as it may
	defer release.Stop()
	lost := events(t, 1, 1)
	lost[0].Stream = "role-1" // returned, but too late
	require.ErrorIs(t, publisher.PublishBatch(t.Context(), lost), ErrNotConfirmed)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, publisher.PublishBatch(ended, events(t, 1, 1)), context.Canceled)
	require.NoError(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)))
}

func TestABrokerThatSaysNothingMoreIsLeftByTheTimeOut(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	n, distant := through(t, url)
	connection := connected(t, distant)
	link, changed := connection.state()
	n.silence()
	err := link.within(100*time.Millisecond, func() error {
		_, err := link.Channel()
		return err
	})
	require.Error(t, err)
	<-changed
	n.hear()
	waitUp(t, connection, true)
}

func TestWhatHasNoQueueIsNamedByItsRoutingKey(t *testing.T) {
	t.Parallel()
	publisher := NewPublisher(connected(t, teststack.VirtualHost(t)))
	sent := events(t, 1, 4)
	var unroutable *UnroutableError
	require.ErrorAs(t, publisher.PublishBatch(t.Context(), sent), &unroutable)
	require.Len(t, unroutable.IDs, len(sent))
	require.Equal(t, "identity.user.user_registered", unroutable.RoutingKey)
}

func TestARefusedMessageIsAnError(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	breaking := raw(t, url)
	_, err := breaking.QueueDeclare("full", true, false, false, false, amqp.Table{amqp.QueueMaxLenArg: 1, amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish})
	require.NoError(t, err)
	publisher := NewPublisher(connected(t, url))
	require.Error(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)), "makes the exchange")
	require.NoError(t, breaking.QueueBind("full", "#", Exchange, false, nil))
	require.ErrorIs(t, publisher.PublishBatch(t.Context(), events(t, 1, 10)), ErrNotConfirmed)
}

func TestPublisherMakesALostExchangeAgain(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	publisher := NewPublisher(connected(t, url))
	require.Error(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)), "makes the exchange")
	require.NoError(t, raw(t, url).ExchangeDelete(Exchange, false, false))

	err := publisher.PublishBatch(t.Context(), events(t, 1, 1))
	require.ErrorIs(t, err, ErrNotConfirmed)
	var reason *amqp.Error
	require.ErrorAs(t, err, &reason)
	require.Equal(t, amqp.NotFound, reason.Code)
	declared(t, url, users)
	require.NoError(t, publisher.PublishBatch(t.Context(), events(t, 1, 1)))
}

func TestConnectionsCutWhilePublishingLoseNothing(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	// A page is some 300 kB, so each of the first connections ends inside one.
	n, distant := through(t, url, 100_000, 200_000, 400_000, 800_000, 1_000_000)
	connection := connected(t, distant)
	subscriber := NewSubscriber(connected(t, url), users)
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	defer subscriber.Close() //nolint:errcheck // it has no error

	const pages, page = 12, 500
	sent := events(t, 20, pages*page)
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() {
		publisher := NewPublisher(connection)
		for i := range pages {
			publishUntil(t, publisher, sent[i*page:(i+1)*page])
		}
	})
	arrived := arrivals{}
	for len(arrived) < len(sent) {
		next := receive(t, received)
		arrived.take(decode(t, next))
		next.Ack()
	}
	require.Zero(t, n.cutsLeft(), "every cut was made")
}

// arrivals are the events that have come, whatever their order: when a
// publisher's connection dies, a quorum queue may keep a later message of the
// unconfirmed batch and lose an earlier one, which then comes with the batch's
// repetition. A projection fills such a gap from the log.
type arrivals map[uuid.UUID]struct{}

func (a arrivals) take(event eventstore.Event) { a[event.ID] = struct{}{} }

func TestPublisherIsWatermills(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	var publisher message.Publisher = NewPublisher(connected(t, url))
	require.NoError(t, publisher.Publish("identity.user.any", message.NewMessage("1", nil), message.NewMessage("2", nil)))
	require.NoError(t, publisher.Close())
	require.ErrorIs(t, publisher.Publish("identity.user.any", message.NewMessage("3", nil)), ErrClosed)
	require.Equal(t, 2, depth(t, raw(t, url), users.Queue))
}

// A connection that is lost between the last confirm and the look at what was
// returned closes the Go channel, which then gives messages without end.
func TestALostConnectionReturnsWhatItHasReturnedAndNoMore(t *testing.T) {
	t.Parallel()
	from := make(chan amqp.Return, 2)
	from <- amqp.Return{MessageId: "unwanted"}
	close(from)
	require.Equal(t, []amqp.Return{{MessageId: "unwanted"}}, gather(from))
}
