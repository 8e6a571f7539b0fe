package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// prefetch is how many messages a consumer may hold unanswered.
	prefetch = 1000
	// muteLimit is how many attempts a queue may leave without an answer before it
	// counts as lost. An election takes less than one.
	muteLimit = 2
	// deleteTimeout bounds the deletion of a lost queue: RabbitMQ looks for its
	// leader for 5 s, and may wait as long for its end.
	deleteTimeout = 15 * time.Second
)

// ErrUnknownQueue means that the subscriber was not given that queue's topology.
var ErrUnknownQueue = errors.New("no topology for this queue")

var (
	// errCancelled: the broker has ended the consumer.
	errCancelled = errors.New("queue was deleted, or its node is gone")
	// errMute: the queue was declared and cannot be consumed.
	errMute = errors.New("queue has no leader")
)

// Subscriber consumes queues that it declares itself.
//
// A message is answered once. Ack means that it need not come again: it is
// applied, or it is certain to come from the log. Nack means that it can never
// be read: it goes to the queue's dead letters. There is no answer for "not
// now", since a message put back comes again at once, for ever: a consumer that
// cannot go on keeps the message and does not answer.
type Subscriber struct {
	connection *Connection
	topologies map[string]Topology
	prefetch   int
	// consumeTimeout is how long a queue may take to answer.
	consumeTimeout time.Duration

	mu      sync.Mutex
	closed  bool
	stops   []context.CancelFunc
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber makes a subscriber for these queues on a connection, which
// stays the caller's.
func NewSubscriber(connection *Connection, topologies ...Topology) *Subscriber {
	s := &Subscriber{
		connection: connection, topologies: make(map[string]Topology), prefetch: prefetch, consumeTimeout: callTimeout,
	}
	for _, topology := range topologies {
		s.topologies[topology.Queue] = topology
	}
	return s
}

// Subscribe consumes a queue until ctx ends, or the subscriber or its connection
// is closed; each closes the Go channel. Up to 1000 messages wait in it. While the broker is away the channel
// stays open; what was not acknowledged then comes again. Acknowledgements go
// to the broker in the order of delivery, so a message without an answer holds
// back those after it. Errors: ErrUnknownQueue, ErrClosed.
func (s *Subscriber) Subscribe(ctx context.Context, queue string) (<-chan *message.Message, error) {
	topology, known := s.topologies[queue]
	if !known {
		return nil, fmt.Errorf("subscribe to %s: %w", queue, ErrUnknownQueue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribe to %s: %w", queue, ErrClosed)
	}
	ctx, stop := context.WithCancel(ctx)
	s.stops = append(s.stops, stop)
	out := make(chan *message.Message, s.prefetch)
	s.running.Go(func() {
		defer stop()
		defer close(out)
		s.run(ctx, topology, out)
	})
	return out, nil
}

// Close ends all subscriptions and waits until they have ended.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// run consumes, and starts over whenever that ends.
func (s *Subscriber) run(ctx context.Context, topology Topology, out chan<- *message.Message) {
	logger := s.connection.logger.With(slog.String("queue", topology.Queue))
	var retry backoff.Backoff
	reported := false
	mute := 0 // attempts that the queue has not answered since it was consumed last
	for {
		lost := mute == muteLimit
		if lost {
			logger.Warn("queue has no leader, deleting it and making it again")
		}
		consumer, err := s.open(ctx, topology, lost)
		switch {
		case err == nil || lost:
			mute = 0
		case errors.Is(err, errMute):
			mute++
		}
		if err == nil {
			since := time.Now()
			logger.Info("consuming")
			err = consumer.run(ctx, out)
			reported = false
			retry.Worked(since)
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return
		}
		if !reported {
			logger.Warn("not consuming, trying again until it works", slog.Any("error", err))
			reported = true
		}
		if retry.Pause(ctx) != nil {
			return
		}
	}
}

// consumer is one consumer on a channel of its own.
type consumer struct {
	channel    *amqp.Channel
	link       *link
	prefetch   int
	deliveries <-chan amqp.Delivery
	closed     <-chan *amqp.Error
	cancelled  <-chan string
}

// open waits for the broker, declares the queue and starts to consume it. A lost
// queue is deleted first.
//
// RabbitMQ loses a quorum queue when it is killed within about a second of the
// queue's declaration: at its next start the queue has a name, and a member that
// is in no term and calls no election. Declaring it is answered, consuming it is
// not, and nothing that is routed to it is confirmed, for whatever other queue it
// may be as well. That does not pass by itself; deleting the queue costs nothing,
// since the log has its messages.
func (s *Subscriber) open(ctx context.Context, topology Topology, lost bool) (*consumer, error) {
	link, err := s.connection.await(ctx)
	if err != nil {
		return nil, err
	}
	c := &consumer{link: link, prefetch: s.prefetch}
	err = link.within(callTimeout, func() (err error) {
		if c.channel, err = link.Channel(); err != nil {
			return err
		}
		c.closed = c.channel.NotifyClose(make(chan *amqp.Error, 1))
		c.cancelled = c.channel.NotifyCancel(make(chan string, 1))
		return c.channel.Qos(s.prefetch, 0, false)
	})
	if err == nil && lost {
		err = link.within(deleteTimeout, func() error {
			_, err := c.channel.QueueDelete(topology.Queue, false, false, false)
			return err
		})
	}
	if err == nil {
		err = link.within(callTimeout, func() error { return topology.declare(c.channel) })
	}
	if err == nil {
		began := time.Now()
		err = link.within(s.consumeTimeout, func() (err error) {
			c.deliveries, err = c.channel.Consume(topology.Queue, "", false, false, false, false, nil)
			return err
		})
		if err != nil && (errors.Is(err, errNoAnswer) || time.Since(began) > s.consumeTimeout/2 && !answered(err)) {
			err = fmt.Errorf("%w: %w", errMute, err)
		}
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("consume %s: %w", topology.Queue, err)
	}
	return c, nil
}

// answered says that the broker itself has refused. Else the connection was lost,
// which may be another lost queue's doing: one that was silent until then as well
// does not wait for its own turn.
func answered(err error) bool {
	reason, is := errors.AsType[*amqp.Error](err)
	return is && reason.Server
}

// run hands deliveries out until ctx ends or the broker ends them, and tells why.
func (c *consumer) run(ctx context.Context, out chan<- *message.Message) error {
	consuming, stop := context.WithCancel(ctx)
	unanswered := make(chan inFlight, c.prefetch)
	var acknowledging sync.WaitGroup
	acknowledging.Go(func() { acknowledge(consuming, c.channel, unanswered) })
	defer c.close()
	defer acknowledging.Wait()
	defer stop()
	for {
		var delivery amqp.Delivery
		var more bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case delivery, more = <-c.deliveries:
			if !more {
				return c.reason()
			}
		}
		of, err := Marshaler{}.Unmarshal(delivery)
		if err != nil {
			return err
		}
		of.SetContext(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case unanswered <- inFlight{delivery.DeliveryTag, of}: // never full: the broker stops at prefetch
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- of:
		}
	}
}

// reason tells why there are no more deliveries.
func (c *consumer) reason() error {
	// Both are closed with the channel, so only a value tells something.
	select {
	case _, told := <-c.cancelled:
		if told {
			return errCancelled
		}
	default:
	}
	select {
	case reason := <-c.closed:
		if reason != nil {
			return reason
		}
	default:
	}
	return amqp.ErrClosed
}

func (c *consumer) close() {
	if c.channel != nil {
		_ = c.link.within(callTimeout, c.channel.Close) // it may be gone already
	}
}

// inFlight is a delivery that the broker awaits an answer for.
type inFlight struct {
	tag     uint64
	message *message.Message
}

// acknowledge passes answers on in the order of delivery, all that are there in
// one call. It ends when the channel fails, which ends the deliveries too, or
// when ctx has ended and every answer given by then is passed on.
func acknowledge(ctx context.Context, to amqp.Acknowledger, unanswered <-chan inFlight) {
	var acked uint64 // the last that is acknowledged here and not yet there
	flush := func() error {
		if acked == 0 {
			return nil
		}
		tag := acked
		acked = 0
		return to.Ack(tag, true)
	}
	for {
		var next inFlight
		select {
		case next = <-unanswered:
		default:
			if flush() != nil {
				return
			}
			select {
			case next = <-unanswered:
			case <-ctx.Done():
				return
			}
		}
		nacked, answered := next.answer()
		if !answered {
			if flush() != nil {
				return
			}
			select {
			case <-next.message.Acked():
			case <-next.message.Nacked():
			case <-ctx.Done():
			}
			if nacked, answered = next.answer(); !answered {
				return
			}
		}
		if !nacked {
			acked = next.tag
			continue
		}
		if flush() != nil || to.Nack(next.tag, false, false) != nil {
			return
		}
	}
}

func (i inFlight) answer() (nacked, answered bool) {
	select {
	case <-i.message.Acked():
		return false, true
	case <-i.message.Nacked():
		return true, true
	default:
		return false, false
	}
}
