package broker

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// answers records what the broker is told.
type answers struct {
	mu     sync.Mutex
	acks   []uint64
	nacks  []uint64
	broken error
	told   chan struct{}
}

func (a *answers) Ack(tag uint64, multiple bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !multiple {
		panic("acknowledged one by one")
	}
	a.acks = append(a.acks, tag)
	a.told <- struct{}{}
	return a.broken
}

func (a *answers) Nack(tag uint64, multiple, requeue bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if multiple || requeue {
		panic("put back, or more than the one")
	}
	a.nacks = append(a.nacks, tag)
	a.told <- struct{}{}
	return a.broken
}

func (a *answers) Reject(uint64, bool) error { panic("rejected") }

func unanswered(count int) (chan inFlight, []*message.Message) {
	pending := make(chan inFlight, count)
	messages := make([]*message.Message, count)
	for i := range messages {
		messages[i] = message.NewMessage("", nil)
		pending <- inFlight{uint64(i) + 1, messages[i]}
	}
	return pending, messages
}

func TestAcksAreOneCallForAllThatAreAnswered(t *testing.T) {
	t.Parallel()
	pending, messages := unanswered(100)
	for _, acked := range messages[1:50] {
		acked.Ack()
	}
	messages[50].Nack()
	for _, acked := range messages[51:] {
		acked.Ack()
	}
	told := &answers{told: make(chan struct{}, 10)}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { acknowledge(ctx, told, pending) })
	// The first has no answer yet, so nothing is told of those behind it.
	require.Empty(t, told.told)
	messages[0].Ack()
	for range 3 {
		<-told.told
	}
	stop()
	running.Wait()
	require.Equal(t, []uint64{50, 100}, told.acks)
	require.Equal(t, []uint64{51}, told.nacks)
}

func TestAcknowledgingEndsWithTheChannel(t *testing.T) {
	t.Parallel()
	pending, messages := unanswered(1)
	messages[0].Ack()
	acknowledge(t.Context(), &answers{told: make(chan struct{}, 1), broken: ErrClosed}, pending)
}

func subscribe(t testing.TB, url string) <-chan *message.Message {
	t.Helper()
	subscriber := NewSubscriber(connected(t, url), users)
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
	return received
}

func TestWhatFindsNoRoomComesAsOthersAreAcknowledged(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	sent := events(t, 3, 20)
	require.NoError(t, NewPublisher(connected(t, url)).PublishBatch(t.Context(), sent))
	for _, count := range []string{"", "1"} {
		subscriber := NewSubscriber(connected(t, url), users)
		subscriber.prefetch = 7
		received, err := subscriber.Subscribe(t.Context(), users.Queue)
		require.NoError(t, err)
		for i, event := range sent {
			next := receive(t, received)
			require.Equal(t, event, decode(t, next))
			if count == "" && i == subscriber.prefetch-1 {
				break // without an answer
			}
			if i < subscriber.prefetch {
				require.Equal(t, count, next.Metadata["x-delivery-count"])
			}
			if count != "" {
				next.Ack()
			}
		}
		require.NoError(t, subscriber.Close())
		_, err = subscriber.Subscribe(t.Context(), users.Queue)
		require.ErrorIs(t, err, ErrClosed)
	}
	require.Zero(t, depth(t, raw(t, url), users.Queue))
}

func TestAMessageThatItsConsumersDoNotSurviveIsADeadLetter(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	require.NoError(t, NewPublisher(connected(t, url)).PublishBatch(t.Context(), events(t, 1, 1)))
	looking := raw(t, url)
	for range deliveryLimit + 1 {
		victim := raw(t, url)
		deliveries, err := victim.Consume(users.Queue, "", false, false, false, false, nil)
		require.NoError(t, err)
		<-deliveries
		require.NoError(t, victim.Close())
	}
	eventually(t, "it is among the dead letters", func() bool { return depth(t, looking, users.Queue+".dead") == 1 })
}

func TestAQueueOfOtherPropertiesIsNotConsumed(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	other := raw(t, url)
	_, err := other.QueueDeclare(users.Queue, true, false, false, false, nil)
	require.NoError(t, err)
	log := &logged{}
	connection, err := Connect(t.Context(), Config{URL: secret.New(url), Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	defer connection.Close() //nolint:errcheck // it has no error
	subscriber := NewSubscriber(connection, users)
	defer subscriber.Close() //nolint:errcheck // it has no error
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	eventually(t, "the reason is logged", func() bool { return strings.Contains(log.String(), "PRECONDITION_FAILED") })

	// Once somebody has removed it, it goes on by itself.
	_, err = other.QueueDelete(users.Queue, false, false, false)
	require.NoError(t, err)
	publishUntil(t, NewPublisher(connection), events(t, 1, 1))
	receive(t, received)
}

func TestAQueueThatIsDeletedIsDeclaredAgain(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	received := subscribe(t, url)
	publisher := NewPublisher(connected(t, url))
	sent := events(t, 1, 3)
	breaking := raw(t, url)
	for i := range sent {
		publishUntil(t, publisher, sent[i:i+1])
		next := receive(t, received)
		require.Equal(t, sent[i], decode(t, next))
		next.Ack()
		_, err := breaking.QueueDelete(users.Queue, false, false, false)
		require.NoError(t, err)
		require.NoError(t, breaking.ExchangeDelete(Exchange, false, false))
	}
}

// calls tells whether a frame calls a method on a queue: class and method number,
// two reserved octets, the queue's name.
func calls(frame []byte, class, method byte, queue string) bool {
	of := append([]byte{0, class, 0, method, 0, 0, byte(len(queue))}, queue...)
	return frame[0] == 1 && bytes.HasPrefix(frame[7:], of)
}

func TestAQueueWithoutALeaderIsMadeAgainAndASlowOneIsKept(t *testing.T) {
	t.Parallel()
	for name, patient := range map[string]bool{"without a leader": false, "slow": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := teststack.VirtualHost(t)
			other := Topology{Queue: "identity.users", Bindings: users.Bindings}
			declared(t, url, users)
			declared(t, url, other)
			sent := events(t, 1, 2)
			publisher := NewPublisher(connected(t, url))
			require.NoError(t, publisher.PublishBatch(t.Context(), sent[:1]))

			// Consuming it has no answer: but once, or until it is deleted.
			var unanswered, deleted atomic.Int32
			n, distant := through(t, url)
			n.swallow(func(frame []byte) bool {
				const basic, consume, queue, remove = 60, 20, 50, 40
				if calls(frame, queue, remove, users.Queue) {
					deleted.Add(1)
				}
				if !calls(frame, basic, consume, users.Queue) || deleted.Load() > 0 {
					return false
				}
				return unanswered.Add(1) == 1 || !patient
			})
			log := &logged{}
			connection, err := Connect(t.Context(), Config{URL: secret.New(distant), Logger: slog.New(slog.NewTextHandler(log, nil))})
			require.NoError(t, err)
			defer connection.Close() //nolint:errcheck // it has no error
			subscriber := NewSubscriber(connection, users, other)
			subscriber.consumeTimeout = 2 * time.Second
			defer subscriber.Close() //nolint:errcheck // it has no error
			received, err := subscriber.Subscribe(t.Context(), users.Queue)
			require.NoError(t, err)
			beside, err := subscriber.Subscribe(t.Context(), other.Queue)
			require.NoError(t, err)

			eventually(t, "it is consumed", func() bool {
				return regexp.MustCompile(`msg=consuming .*queue=` + users.Queue).MatchString(log.String())
			})
			if patient {
				require.Equal(t, sent[0], decode(t, receive(t, received)))
				require.Zero(t, deleted.Load())
			} else {
				require.EqualValues(t, 1, deleted.Load())
				require.EqualValues(t, muteLimit, unanswered.Load())
			}
			publishUntil(t, publisher, sent[1:])
			for _, from := range []<-chan *message.Message{received, beside} {
				for decode(t, receive(t, from)).Version != 2 { // the first may come again
				}
			}
		})
	}
}

func TestConnectionsCutWhileConsumingLoseNothing(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	declared(t, url, users)
	const streams, count = 20, 6000
	require.NoError(t, NewPublisher(connected(t, url)).PublishBatch(t.Context(), events(t, streams, count)))

	n, distant := through(t, url)
	received := subscribe(t, distant)
	arrived := arrivals{}
	cuts := 0
	for taken := 1; len(arrived) < count; taken++ {
		next := receive(t, received)
		arrived.take(decode(t, next))
		next.Ack()
		if taken%1500 == 0 && cuts < 4 {
			n.cut()
			cuts++
		}
	}
	require.Equal(t, 4, cuts)
}

func TestABrokerThatEndsAllConnectionsIsFoundAgain(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	connection := connected(t, url)
	subscriber := NewSubscriber(connection, users)
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	defer subscriber.Close() //nolint:errcheck // it has no error
	publisher := NewPublisher(connection)
	sent := events(t, 1, 2)
	publishUntil(t, publisher, sent[:1])
	receive(t, received).Ack()
	_, changed := connection.state()
	cut(t, url)
	<-changed
	publishUntil(t, publisher, sent[1:])
	for decode(t, receive(t, received)).Version != 2 { // the first may come again
	}
}

func TestOneConsumerIsActiveAndTheNextGoesOnAfterIt(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	first := NewSubscriber(connected(t, url), users)
	one, err := first.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	publisher := NewPublisher(connected(t, url))
	sent := events(t, 1, 11)
	publishUntil(t, publisher, sent[:1])
	receive(t, one).Ack()

	log := &logged{}
	standby, err := Connect(t.Context(), Config{URL: secret.New(url), Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	defer standby.Close() //nolint:errcheck // it has no error
	second := NewSubscriber(standby, users)
	defer second.Close() //nolint:errcheck // it has no error
	two, err := second.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err)
	eventually(t, "both consume", func() bool { return strings.Contains(log.String(), "consuming") })
	publishUntil(t, publisher, sent[1:])
	for _, event := range sent[1:] {
		require.Equal(t, event, decode(t, receive(t, one))) // and does not answer
	}
	require.NoError(t, first.Close())
	for _, event := range sent[1:] {
		require.Equal(t, event, decode(t, receive(t, two)))
	}
}

func TestOnlyAQueueWithATopologyCanBeSubscribedTo(t *testing.T) {
	t.Parallel()
	subscriber := NewSubscriber(connect(t, "amqp://127.0.0.1:1/"), users)
	_, err := subscriber.Subscribe(t.Context(), "another")
	require.ErrorIs(t, err, ErrUnknownQueue)
	received, err := subscriber.Subscribe(t.Context(), users.Queue)
	require.NoError(t, err, "without a broker too")
	require.NoError(t, subscriber.Close())
	_, open := <-received
	require.False(t, open)
}
