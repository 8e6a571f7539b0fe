package broker

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/platform/teststack"
)

func TestRabbitMQKeepsWhatForwarderAndProjectionsRelyOn(t *testing.T) {
	t.Parallel()
	eventtest.RunBroker(t, func(t *testing.T) eventtest.BrokerUnderTest { return house{teststack.VirtualHost(t)} })
}

// wanted is the queue of the suite, whose events are of a context of their own.
var wanted = Topology{Queue: "test.wanted", Bindings: []string{"test.user.*"}}

// house is a virtual host of a test's own.
type house struct{ url string }

func (h house) Publisher(t *testing.T) eventtest.PublisherUnderTest {
	t.Helper()
	publisher := NewPublisher(connected(t, h.url))
	t.Cleanup(func() { require.NoError(t, publisher.Close()) })
	return publisher
}

func (h house) Subscriber(t *testing.T) message.Subscriber {
	t.Helper()
	subscriber := NewSubscriber(connected(t, h.url), wanted)
	t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
	return subscriber
}

func (h house) Declare(t *testing.T) { t.Helper(); declared(t, h.url, wanted) }

func (house) Wanted() string { return wanted.Queue }

func (house) Topic() string { return "test.user.any" }

func (house) Decode(received *message.Message) (eventstore.Event, error) { return Decode(received) }

func (house) Unroutable(err error) []string {
	var unroutable *UnroutableError
	if !errors.As(err, &unroutable) {
		return nil
	}
	return unroutable.IDs
}

func (h house) Ready(t *testing.T) int {
	t.Helper()
	return depth(t, raw(t, h.url), wanted.Queue)
}

func (h house) Dead(t *testing.T) int {
	t.Helper()
	return depth(t, raw(t, h.url), wanted.Queue+deadSuffix)
}
