package eventtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-id/muster/eventstore"
)

// PublisherUnderTest publishes events as the forwarder has them published.
type PublisherUnderTest interface {
	PublishBatch(ctx context.Context, events []eventstore.Event) error
	message.Publisher
}

// BrokerUnderTest is an empty broker with room for one queue, Wanted, which wants
// the events of streams user-<x> and of no others. Publishers and subscribers are
// closed with the test.
type BrokerUnderTest interface {
	// Publisher makes a publisher.
	Publisher(t *testing.T) PublisherUnderTest
	// Subscriber makes a subscriber of the queue.
	Subscriber(t *testing.T) message.Subscriber
	// Declare makes the queue without consuming it.
	Declare(t *testing.T)
	// Wanted is the queue's name.
	Wanted() string
	// Topic is one of which everything is for the queue.
	Topic() string
	// Decode reads the event of a message.
	Decode(received *message.Message) (eventstore.Event, error)
	// Unroutable are the ids of messages that, as this error says, no queue wants.
	Unroutable(err error) []string
	// Ready counts the messages that wait in the queue, Dead those that it gave up.
	Ready(t *testing.T) int
	Dead(t *testing.T) int
}

// RunBroker holds a broker to what the forwarder and the projections rely on:
// what is confirmed is there in its order, and comes until it is answered. open
// gives an empty one.
func RunBroker(t *testing.T, open func(t *testing.T) BrokerUnderTest) {
	for name, rule := range map[string]func(*testing.T, BrokerUnderTest){
		"a batch is there in its order once it is confirmed":    batchInOrder,
		"batches of several publishers stay in their order":     batchesAtOnce,
		"what no queue wants is told and the rest is there":     unroutableTold,
		"a batch that is given up is an error":                  batchGivenUp,
		"no events are no work":                                 noEvents,
		"a closed publisher publishes nothing":                  publisherClosed,
		"an answered message never comes again":                 ackedIsGone,
		"a message without an answer comes again in its order":  unansweredComeAgain,
		"an answer that is late changes nothing":                lateAnswer,
		"a refused message is laid aside and never comes again": nackedIsDead,
		"a subscription ends with its context":                  subscriptionContext,
		"a closed subscriber ends all its subscriptions":        subscriberClosed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

// brokerPatience is how long a message may take on a busy machine.
const brokerPatience = 30 * time.Second

// published makes count events of streams <kind>-<n>, each in order.
func published(kind string, streams, count int) []eventstore.Event {
	events := newEvents(count)
	for i := range events {
		stream := fmt.Sprintf("%s-%d", kind, i%streams)
		events[i].Log, events[i].Epoch, events[i].Stream = "test", 7, stream
		events[i].Version, events[i].Shard = int64(i/streams)+1, eventstore.ShardOf(stream)
	}
	return events
}

func mustPublish(t *testing.T, publisher PublisherUnderTest, events []eventstore.Event) {
	t.Helper()
	if err := publisher.PublishBatch(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func mustSubscribe(ctx context.Context, t *testing.T, broker BrokerUnderTest, subscriber message.Subscriber) <-chan *message.Message {
	t.Helper()
	received, err := subscriber.Subscribe(ctx, broker.Wanted())
	if err != nil {
		t.Fatal(err)
	}
	return received
}

func mustReceive(t *testing.T, from <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case received, open := <-from:
		if !open {
			t.Fatal("the subscription has ended")
		}
		return received
	case <-time.After(brokerPatience):
		t.Fatal("no message")
		return nil
	}
}

// wantEnd waits until a subscription hands nothing more out.
func wantEnd(t *testing.T, from <-chan *message.Message) {
	t.Helper()
	limit := time.After(brokerPatience)
	for {
		select {
		case _, open := <-from:
			if !open {
				return
			}
		case <-limit:
			t.Fatal("the subscription does not end")
		}
	}
}

// wantNext receives these events, in this order and as they were published, and
// gives their messages.
func wantNext(t *testing.T, broker BrokerUnderTest, from <-chan *message.Message, events []eventstore.Event) []*message.Message {
	t.Helper()
	messages := make([]*message.Message, len(events))
	for i, event := range events {
		messages[i] = mustReceive(t, from)
		got, err := broker.Decode(messages[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("place %d (-published +received):\n%s", i, diff)
		}
		if messages[i].UUID != event.ID.String() {
			t.Errorf("place %d has the id %s, want the event's, %s", i, messages[i].UUID, event.ID)
		}
	}
	return messages
}

func wantCount(t *testing.T, what string, want int, count func(*testing.T) int) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	limit := time.After(brokerPatience)
	for {
		got := count(t)
		if got == want {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%d messages %s, want %d", got, what, want)
		case <-poll.C:
		}
	}
}

func batchInOrder(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	sent := published("user", 7, 1250)
	mustPublish(t, broker.Publisher(t), sent)
	if ready := broker.Ready(t); ready != len(sent) {
		t.Errorf("%d messages wait when the batch is confirmed, want all %d", ready, len(sent))
	}
	received := mustSubscribe(t.Context(), t, broker, broker.Subscriber(t))
	for part := range slices.Chunk(sent, 500) { // so many are handed out before an answer
		for _, message := range wantNext(t, broker, received, part) {
			if err := message.Context().Err(); err != nil {
				t.Fatalf("a message of a living subscription: %v", err)
			}
			message.Ack()
		}
	}
	wantCount(t, "wait", 0, broker.Ready)
}

func batchesAtOnce(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	const publishers, batches, size = 3, 4, 100
	shared := broker.Publisher(t)
	var publishing sync.WaitGroup
	for p := range publishers {
		publisher := shared // two have one, and one has its own
		if p == 0 {
			publisher = broker.Publisher(t)
		}
		publishing.Go(func() {
			sent := published(fmt.Sprintf("user-%d", p), 1, batches*size)
			for batch := range slices.Chunk(sent, size) {
				if err := publisher.PublishBatch(t.Context(), batch); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	publishing.Wait()
	if t.Failed() {
		return // what is missing would be waited for
	}
	received := mustSubscribe(t.Context(), t, broker, broker.Subscriber(t))
	versions := make(map[string]int64)
	for range publishers * batches * size {
		next := mustReceive(t, received)
		event, err := broker.Decode(next)
		if err != nil {
			t.Fatal(err)
		}
		if versions[event.Stream]++; event.Version != versions[event.Stream] {
			t.Fatalf("%s version %d in the place of %d", event.Stream, event.Version, versions[event.Stream])
		}
		next.Ack()
	}
}

func unroutableTold(t *testing.T, broker BrokerUnderTest) {
	publisher := broker.Publisher(t)
	sent := published("user", 1, 4)
	sent[1].Stream, sent[3].Stream = "role-1", "role-1"
	ids := make([]string, len(sent))
	for i, event := range sent {
		ids[i] = event.ID.String()
	}
	// No queue yet at all: a fresh start, where the forwarder is the first.
	if got := broker.Unroutable(publisher.PublishBatch(t.Context(), sent)); !slices.Equal(got, ids) {
		t.Errorf("without a queue %v are told, want all of %v", got, ids)
	}
	broker.Declare(t)
	if got, want := broker.Unroutable(publisher.PublishBatch(t.Context(), sent)), []string{ids[1], ids[3]}; !slices.Equal(got, want) {
		t.Errorf("%v are told, want %v", got, want)
	}
	mustPublish(t, publisher, sent[:1]) // the publisher is as good as before
	received := mustSubscribe(t.Context(), t, broker, broker.Subscriber(t))
	wantNext(t, broker, received, []eventstore.Event{sent[0], sent[2], sent[0]})
}

func batchGivenUp(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	publisher := broker.Publisher(t)
	sent := published("user", 1, 3)
	mustPublish(t, publisher, sent[:1])
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := publisher.PublishBatch(over, sent[1:]); err == nil {
		t.Error("a batch that was given up counts as confirmed")
	}
	mustPublish(t, publisher, sent[1:])
	// What was given up may have arrived: at least once, never out of order.
	received := mustSubscribe(t.Context(), t, broker, broker.Subscriber(t))
	last := int64(0)
	for last < 3 {
		event, err := broker.Decode(mustReceive(t, received))
		if err != nil {
			t.Fatal(err)
		}
		if event.Version > last+1 {
			t.Fatalf("version %d after %d", event.Version, last)
		}
		last = max(last, event.Version)
	}
}

func noEvents(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	publisher := broker.Publisher(t)
	mustPublish(t, publisher, nil)
	mustPublish(t, publisher, published("user", 1, 1))
	wantCount(t, "wait", 1, broker.Ready)
}

func publisherClosed(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	publisher := broker.Publisher(t)
	mustPublish(t, publisher, published("user", 1, 1))
	for range 2 {
		if err := publisher.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := publisher.PublishBatch(t.Context(), published("user", 1, 1)); err == nil {
		t.Error("it published")
	}
	wantCount(t, "wait", 1, broker.Ready)
}

func ackedIsGone(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	sent := published("user", 3, 60)
	publisher := broker.Publisher(t)
	mustPublish(t, publisher, sent)
	first := broker.Subscriber(t)
	received := mustSubscribe(t.Context(), t, broker, first)
	for _, message := range wantNext(t, broker, received, sent) {
		message.Ack()
	}
	closeSubscriber(t, first)
	last := published("user", 1, 1)
	mustPublish(t, publisher, last)
	wantNext(t, broker, mustSubscribe(t.Context(), t, broker, broker.Subscriber(t)), last)
}

func unansweredComeAgain(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	sent := published("user", 3, 60)
	mustPublish(t, broker.Publisher(t), sent)
	for from := 0; from < len(sent); from += 20 {
		subscriber := broker.Subscriber(t)
		messages := wantNext(t, broker, mustSubscribe(t.Context(), t, broker, subscriber), sent[from:])
		for _, message := range messages[:20] {
			message.Ack()
		}
		closeSubscriber(t, subscriber)
	}
	wantCount(t, "wait", 0, broker.Ready)
}

func lateAnswer(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	sent := published("user", 1, 2)
	mustPublish(t, broker.Publisher(t), sent)
	first := broker.Subscriber(t)
	late := wantNext(t, broker, mustSubscribe(t.Context(), t, broker, first), sent)
	closeSubscriber(t, first)
	if late[0].Context().Err() == nil {
		t.Error("the context of a message outlives its subscription")
	}
	late[0].Ack()
	late[1].Nack()
	wantNext(t, broker, mustSubscribe(t.Context(), t, broker, broker.Subscriber(t)), sent)
	if dead := broker.Dead(t); dead != 0 {
		t.Errorf("%d messages were laid aside", dead)
	}
}

func nackedIsDead(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	publisher := broker.Publisher(t)
	if err := publisher.Publish(broker.Topic(), message.NewMessage("bad", []byte("not an event"))); err != nil {
		t.Fatal(err)
	}
	good := published("user", 1, 1)
	mustPublish(t, publisher, good)
	received := mustSubscribe(t.Context(), t, broker, broker.Subscriber(t))
	bad := mustReceive(t, received)
	if _, err := broker.Decode(bad); err == nil {
		t.Error("it was taken for an event")
	}
	bad.Nack()
	wantNext(t, broker, received, good)[0].Ack()
	wantCount(t, "were laid aside", 1, broker.Dead)
	wantCount(t, "wait", 0, broker.Ready)
}

func subscriptionContext(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	sent := published("user", 1, 2)
	mustPublish(t, broker.Publisher(t), sent)
	subscriber := broker.Subscriber(t)
	ctx, cancel := context.WithCancel(t.Context())
	received := mustSubscribe(ctx, t, broker, subscriber)
	taken := wantNext(t, broker, received, sent)
	taken[0].Ack() // given before the end, so it is passed on
	cancel()
	wantEnd(t, received)
	// The subscriber is as good as before.
	wantNext(t, broker, mustSubscribe(t.Context(), t, broker, subscriber), sent[1:])
}

func subscriberClosed(t *testing.T, broker BrokerUnderTest) {
	broker.Declare(t)
	subscriber := broker.Subscriber(t)
	one := mustSubscribe(t.Context(), t, broker, subscriber)
	two := mustSubscribe(t.Context(), t, broker, subscriber)
	closeSubscriber(t, subscriber)
	closeSubscriber(t, subscriber)
	wantEnd(t, one)
	wantEnd(t, two)
	if _, err := subscriber.Subscribe(t.Context(), broker.Wanted()); err == nil {
		t.Error("a closed subscriber subscribes")
	}
}

func closeSubscriber(t *testing.T, subscriber message.Subscriber) {
	t.Helper()
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
}
