package broker

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// Exchange is the topic exchange that every event is published to.
	Exchange = "muster.events"
	// DeadExchange takes what a queue gives up, by the queue's name.
	DeadExchange = "muster.dead"
	// deadSuffix makes the name of the queue behind it.
	deadSuffix = ".dead"

	// deliveryLimit is how often a message may be on a consumer that is lost
	// before the queue takes it for the reason. RabbitMQ also ends a consumer
	// that leaves a message unanswered for 30 minutes, its own delivery time-out:
	// messages that a projection holds through an outage of many hours may become
	// dead letters so. Nothing is lost, the tail brings their events from the log.
	deliveryLimit = 20
	// queueLength bounds a queue nobody reads, and deadLength its dead letters.
	// The oldest are dropped: projections read them from the log.
	queueLength = 1_000_000
	deadLength  = 10_000
)

// Topology is a projection's queue. The subscriber declares it, again at each
// reconnect, so a wiped broker is whole again by itself.
type Topology struct {
	// Queue is its name, for example "credentials.access".
	Queue string
	// Bindings are the routing keys wanted, for example "identity.user.*"; at
	// least one.
	Bindings []string
}

// declare makes the queue, its bindings and its dead-letter queue. What exists
// already stays; with other properties it is an error.
func (t Topology) declare(channel *amqp.Channel) error {
	queue := durable("topic", amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum,
		// Order holds with two replicas, and the second is a warm standby.
		amqp.SingleActiveConsumerArg: true,
		"x-delivery-limit":           deliveryLimit,
		"x-dead-letter-exchange":     DeadExchange,
		"x-dead-letter-routing-key":  t.Queue,
		amqp.QueueMaxLenArg:          queueLength,
	})
	dead := durable("direct", amqp.Table{
		amqp.QueueTypeArg:   amqp.QueueTypeQuorum,
		amqp.QueueMaxLenArg: deadLength,
	})
	// The dead-letter queue first: a queue without one drops what it gives up.
	if err := declare(channel, t.Queue+deadSuffix, DeadExchange, dead, t.Queue); err != nil {
		return err
	}
	return declare(channel, t.Queue, Exchange, queue, t.Bindings...)
}

// declareExchange makes the exchange only: queues belong to those who read them.
func declareExchange(channel *amqp.Channel) error {
	if err := (wamqp.DefaultTopologyBuilder{}).ExchangeDeclare(channel, Exchange, durable("topic", nil)); err != nil {
		return fmt.Errorf("declare exchange %s: %w", Exchange, err)
	}
	return nil
}

func declare(channel *amqp.Channel, queue, exchange string, config wamqp.Config, bindings ...string) error {
	builder := &wamqp.DefaultTopologyBuilder{}
	for _, key := range bindings {
		config.QueueBind.GenerateRoutingKey = func(string) string { return key }
		if err := builder.BuildTopology(channel, queue, exchange, config, watermill.NopLogger{}); err != nil {
			return fmt.Errorf("declare queue %s: %w", queue, err)
		}
	}
	return nil
}

func durable(exchangeType string, queue amqp.Table) wamqp.Config {
	return wamqp.Config{
		Exchange: wamqp.ExchangeConfig{Type: exchangeType, Durable: true},
		Queue:    wamqp.QueueConfig{Durable: true, Arguments: queue},
	}
}
