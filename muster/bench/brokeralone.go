package main

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/platform/secret"
)

const (
	// aloneWindow is how many messages are without their confirm at most.
	aloneWindow = 500
	// alonePrefetch is how many may be without their acknowledgement, and
	// aloneAck how many are acknowledged at once.
	alonePrefetch, aloneAck = 1000, 250
	aloneQueue              = "bench.alone"
)

// messages are what the forwarder makes of the events of the log.
func (w *world) messages(ctx context.Context, events int64) ([]amqp.Publishing, error) {
	stream, err := w.stream()
	if err != nil {
		return nil, err
	}
	messages := make([]amqp.Publishing, 0, events)
	for at := eventstore.Cursor(""); ; {
		page, err := stream.ReadLog(ctx, at, readPage, 0)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		for _, event := range page.Events {
			encoded, err := broker.Encode(event)
			if err != nil {
				return nil, err
			}
			message, err := broker.Marshaler{}.Marshal(encoded)
			if err != nil {
				return nil, err
			}
			messages = append(messages, message)
		}
		if page.AtHead {
			return messages, nil
		}
		at = page.Next
	}
}

// brokerAlone publishes messages to a quorum queue and consumes them at once,
// without a log before it or rows behind it: what RabbitMQ can do.
type brokerAlone struct {
	url      secret.String
	messages []amqp.Publishing
}

func (a *brokerAlone) prepare(context.Context) error { return a.fresh() }

// fresh makes the queue anew.
func (a *brokerAlone) fresh() error {
	connection, err := amqp.Dial(a.url.Reveal())
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // nothing is pending
	return freshQueue(connection, aloneQueue)
}

func freshQueue(connection *amqp.Connection, name string) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	defer channel.Close() //nolint:errcheck // nothing is pending
	if _, err := channel.QueueDelete(name, false, false, false); err != nil {
		return err
	}
	_, err = channel.QueueDeclare(name, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	return err
}

// run returns when the last message is acknowledged and confirmed.
func (a *brokerAlone) run(ctx context.Context) error {
	publisher, err := amqp.Dial(a.url.Reveal())
	if err != nil {
		return err
	}
	defer publisher.Close() //nolint:errcheck // nothing is pending
	consumer, err := amqp.Dial(a.url.Reveal())
	if err != nil {
		return err
	}
	defer consumer.Close() //nolint:errcheck // nothing is pending
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.consume(ctx, consumer) })
	group.Go(func() error { return a.publish(ctx, publisher) })
	return group.Wait()
}

func (a *brokerAlone) publish(ctx context.Context, connection *amqp.Connection) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	confirms := make(chan *amqp.DeferredConfirmation, aloneWindow)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for confirm := range confirms {
			stored, err := confirm.WaitContext(ctx)
			if err != nil {
				return err
			}
			if !stored {
				return errors.New("RabbitMQ has refused a message")
			}
		}
		return nil
	})
	group.Go(func() error {
		defer close(confirms)
		for _, message := range a.messages {
			confirm, err := channel.PublishWithDeferredConfirm("", aloneQueue, true, false, message)
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case confirms <- confirm:
			}
		}
		return nil
	})
	return group.Wait()
}

func (a *brokerAlone) consume(ctx context.Context, connection *amqp.Connection) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(alonePrefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(aloneQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for got := 1; got <= len(a.messages); got++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case delivery, more := <-deliveries:
			if !more {
				return amqp.ErrClosed
			}
			if got%aloneAck == 0 || got == len(a.messages) {
				if err := delivery.Ack(true); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
