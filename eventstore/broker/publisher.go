package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore"
)

const (
	// confirmTimeout bounds a batch, from its first message to its last confirm.
	confirmTimeout = 10 * time.Second
	// window is how many messages may be without their confirm.
	window = 1000
)

// ErrNotConfirmed means that the broker has not taken every message. Some may
// have arrived, so publish them all again.
var ErrNotConfirmed = errors.New("broker has not confirmed every message")

// UnroutableError says that messages found no queue: their projection has not
// declared it yet. The others of the batch have arrived.
type UnroutableError struct {
	// IDs of the messages, in the order published.
	IDs []string
	// RoutingKey of the first of them.
	RoutingKey string
}

// Error names the first routing key.
func (e *UnroutableError) Error() string {
	return fmt.Sprintf("no queue is bound for %d messages, the first with routing key %s", len(e.IDs), e.RoutingKey)
}

// Publisher publishes to the exchange, one batch at a time: all messages of a
// batch are on their way before the first confirm is awaited. It is safe for
// concurrent use.
type Publisher struct {
	connection     *Connection
	confirmTimeout time.Duration
	closing        chan struct{}
	close          sync.Once

	turn    chan struct{} // holds one while a batch is on its way, and guards channel
	channel *publishing   // nil until there is one
}

var _ message.Publisher = (*Publisher)(nil)

// publishing is a channel in confirm mode, and what it tells.
type publishing struct {
	*amqp.Channel
	link     *link
	returned <-chan amqp.Return
	closed   <-chan *amqp.Error
}

// outgoing is a message and where it goes.
type outgoing struct {
	key string
	amqp.Publishing
}

// NewPublisher makes a publisher on a connection, which stays the caller's.
func NewPublisher(connection *Connection) *Publisher {
	return &Publisher{
		connection:     connection,
		confirmTimeout: confirmTimeout,
		closing:        make(chan struct{}),
		turn:           make(chan struct{}, 1),
	}
}

// PublishBatch publishes events in order and waits until the broker has stored
// them all, 10 s at most for each thousand. Errors: ErrNotConnected,
// ErrNotConfirmed, *UnroutableError, ErrClosed, and ctx's own.
func (p *Publisher) PublishBatch(ctx context.Context, events []eventstore.Event) error {
	batch := make([]outgoing, len(events))
	for i, event := range events {
		encoded, err := Encode(event)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if batch[i], err = outbound(RoutingKey(event), encoded); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return p.publish(ctx, batch)
}

// Publish publishes messages with one routing key, like PublishBatch.
func (p *Publisher) Publish(routingKey string, messages ...*message.Message) error {
	batch := make([]outgoing, len(messages))
	for i, of := range messages {
		var err error
		if batch[i], err = outbound(routingKey, of); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return p.publish(context.Background(), batch) // Watermill gives no context for a call
}

// Close waits for a batch that is on its way and refuses all later ones.
func (p *Publisher) Close() error {
	p.close.Do(func() {
		close(p.closing)
		p.turn <- struct{}{} // for ever
		p.discard()
	})
	return nil
}

func outbound(key string, of *message.Message) (outgoing, error) {
	marshalled, err := Marshaler{}.Marshal(of)
	return outgoing{key, marshalled}, err
}

func (p *Publisher) publish(ctx context.Context, batch []outgoing) error {
	select {
	case <-p.closing:
		return fmt.Errorf("publish: %w", ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("publish: %w", ctx.Err())
	case p.turn <- struct{}{}:
	}
	defer func() { <-p.turn }()

	var unroutable *UnroutableError
	for len(batch) > 0 {
		part := batch[:min(window, len(batch))]
		batch = batch[len(part):]
		returned, err := p.publishWindow(ctx, part)
		if err != nil {
			p.discard() // what it returns late is not of the next batch
			return fmt.Errorf("publish: %w", err)
		}
		for _, back := range returned {
			if unroutable == nil {
				unroutable = &UnroutableError{RoutingKey: back.RoutingKey}
			}
			unroutable.IDs = append(unroutable.IDs, back.MessageId)
		}
	}
	if unroutable != nil {
		return fmt.Errorf("publish: %w", unroutable)
	}
	return nil
}

// publishWindow sends a part of a batch, then awaits its confirms, and gives
// back the messages without a queue.
func (p *Publisher) publishWindow(ctx context.Context, part []outgoing) ([]amqp.Return, error) {
	channel, err := p.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.confirmTimeout, fmt.Errorf("%w: none within %s", ErrNotConfirmed, p.confirmTimeout))
	defer cancel()
	confirms := make([]*amqp.DeferredConfirmation, len(part))
	for i, out := range part {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		confirms[i], err = channel.PublishWithDeferredConfirm(Exchange, out.key, true, false, out.Publishing)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotConfirmed, err)
		}
	}
	for _, confirm := range confirms {
		stored, err := confirm.WaitContext(ctx)
		if err != nil {
			return nil, context.Cause(ctx)
		}
		if !stored {
			return nil, channel.refusal()
		}
	}
	return gather(channel.returned), nil
}

// gather gives the messages that were returned. The broker returns a message
// before it confirms it, so once all are confirmed they are here: also where the
// connection was lost since, which closes the Go channel.
func gather(from <-chan amqp.Return) (returned []amqp.Return) {
	for {
		select {
		case back, open := <-from:
			if !open {
				return returned
			}
			returned = append(returned, back)
		default:
			return returned
		}
	}
}

// open gives the channel, or makes one where there is none that works.
func (p *Publisher) open() (*publishing, error) {
	if p.channel != nil && !p.channel.IsClosed() {
		return p.channel, nil
	}
	link, _ := p.connection.state()
	if link == nil {
		return nil, ErrNotConnected
	}
	p.channel = nil
	err := link.within(callTimeout, func() error {
		channel, err := link.Channel()
		if err != nil {
			return err
		}
		p.channel = &publishing{
			Channel:  channel,
			link:     link,
			returned: channel.NotifyReturn(make(chan amqp.Return, window)),
			closed:   channel.NotifyClose(make(chan *amqp.Error, 1)),
		}
		if err := channel.Confirm(false); err != nil {
			return err
		}
		return declareExchange(channel)
	})
	if err != nil {
		p.discard()
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	return p.channel, nil
}

func (p *Publisher) discard() {
	if p.channel == nil {
		return
	}
	_ = p.channel.link.within(callTimeout, p.channel.Close) // it may be gone already
	p.channel = nil
}

// refusal tells why a message was not confirmed: the channel is gone, or else
// the broker has refused it.
func (p *publishing) refusal() error {
	select {
	case reason := <-p.closed:
		if reason != nil {
			return fmt.Errorf("%w: %w", ErrNotConfirmed, reason)
		}
	default:
	}
	return ErrNotConfirmed
}
