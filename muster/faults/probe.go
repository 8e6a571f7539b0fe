package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore/broker"
)

const (
	// probePause is between two looks at whether a part is back, which do not wait
	// for each other.
	probePause = 200 * time.Millisecond
	// probeBound is how long a look may take, and probes how many there may be at
	// once: more would be a fault of their own, since all change one account.
	probeBound = 8 * time.Second
	probes     = 8
	// backBound is how long a part may take to come back.
	backBound = 60 * time.Second
)

// prober finds out when a part is back: when what needs it succeeds.
type prober struct {
	*world
	visitor *visitor
	account *account
}

func newProber(ctx context.Context, w *world, seed uint64) (*prober, error) {
	p := &prober{world: w, visitor: newVisitor(w, seed, 250)}
	if p.visitor.dot = picture(); p.visitor.dot == nil {
		return nil, errors.New("no picture can be drawn")
	}
	p.account = p.visitor.register(ctx)
	if p.account == nil || !p.visitor.signsIn(ctx, p.account, "Register") {
		return nil, errors.New("the prober cannot sign in before the first fault")
	}
	return p, nil
}

// back waits until what needs the part succeeds, and tells how long that took
// since. The error says that it did not within the bound.
func (p *prober) back(ctx context.Context, part string, since time.Time) (time.Duration, error) {
	bounded, cancel := context.WithDeadline(ctx, since.Add(backBound))
	defer cancel()
	succeeded := make(chan time.Time, 1)
	last := make(chan string, 1)
	ticker := time.NewTicker(probePause)
	defer ticker.Stop()
	places := make(chan struct{}, probes)
	look := func() { // ends with bounded
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			return
		}
		trying, over := context.WithTimeout(bounded, probeBound)
		defer over()
		why := p.needs(trying, part)
		if why == "" {
			select {
			case succeeded <- time.Now():
			default: // another one was first
			}
			return
		}
		select {
		case <-last:
		default:
		}
		select {
		case last <- why:
		default:
		}
	}
	go look()
	for {
		select {
		case at := <-succeeded:
			return at.Sub(since), nil
		case <-ticker.C:
			go look()
		case <-bounded.Done():
			why := "no answer"
			select {
			case why = <-last:
			default:
			}
			return backBound, fmt.Errorf("%s has not come back within %s: %s", part, backBound, why)
		}
	}
}

// needs does once what needs a part, and says why it fails.
func (p *prober) needs(ctx context.Context, part string) string {
	login := func() answer {
		return p.call(ctx, "AuthService/Login", map[string]any{"login": p.account.name, "password": p.account.password})
	}
	var got answer
	switch part {
	case gateway:
		got = p.call(ctx, "UserService/GetMe", map[string]any{}, bearer(p.account.access))
	case identity:
		got = p.rename(ctx)
	case credentials:
		got = login()
	case postgres:
		if got = p.rename(ctx); got.ok() {
			got = login()
		}
	case media, s3:
		got = p.put(ctx, "/me/avatar", p.visitor.dot, bearer(p.account.access))
	case rabbitmq:
		if err := p.hears(ctx); err != nil {
			return err.Error()
		}
		return ""
	}
	if got.ok() {
		return ""
	}
	if got.err != nil {
		return got.err.Error()
	}
	return got.label()
}

// rename changes the prober's profile, once.
func (p *prober) rename(ctx context.Context) answer {
	w := &write{kind: "UpdateMe", key: uuid.NewString(), stream: "user-" + p.account.id, types: []string{"ProfileUpdated"}}
	name := "Given " + w.key
	send := func(ctx context.Context) answer {
		return p.call(ctx, "UserService/UpdateMe", map[string]any{"firstName": name}, bearer(p.account.access), keyed(w.key))
	}
	// The end of the run repeats it, when ctx is long over.
	w.again = func() answer { return send(context.WithoutCancel(ctx)) }
	p.history.begin(w)
	got := send(ctx)
	switch {
	case got.ok():
		p.history.end(w, acknowledged, "")
	case !got.retryable():
		p.history.end(w, refused, got.label())
	}
	return got
}

// hears changes the prober's profile and listens, past the proxies, until RabbitMQ
// delivers the messages of it.
func (p *prober) hears(ctx context.Context) error {
	connection, err := amqp.DialConfig(p.Servers.AMQPURL.Reveal(), amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer connection.Close() //nolint:errcheck // nothing of it is kept
	channel, err := connection.Channel()
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err == nil {
		err = channel.QueueBind(queue.Name, "#", "muster.events", false, nil)
	}
	if err != nil {
		return fmt.Errorf("listen at RabbitMQ: %w", err)
	}
	deliveries, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		return fmt.Errorf("listen at RabbitMQ: %w", err)
	}
	// Twice: a message is delivered as soon as one queue has it, but the next is
	// published only once all of its queues have confirmed it.
	for range 2 {
		got := p.rename(ctx)
		if !got.ok() {
			return fmt.Errorf("a change to be heard of: %s", got.label())
		}
		if err := hear(ctx, deliveries, got.request); err != nil {
			return err
		}
	}
	return nil
}

// hear waits for the message of what a request has changed.
func hear(ctx context.Context, deliveries <-chan amqp.Delivery, request string) error {
	for {
		select {
		case delivery, open := <-deliveries:
			if !open {
				return errors.New("RabbitMQ closed the connection")
			}
			message, err := broker.Marshaler{}.Unmarshal(delivery)
			if err != nil {
				return err
			}
			event, err := broker.Decode(message)
			if err != nil {
				return err
			}
			if event.Metadata.RequestID == request {
				return nil
			}
		case <-ctx.Done():
			return errors.New("RabbitMQ delivers no message of a change that is in the log")
		}
	}
}

// picture draws a small one.
func picture() []byte {
	var drawn bytes.Buffer
	if err := png.Encode(&drawn, image.NewGray(image.Rect(0, 0, 32, 32))); err != nil {
		return nil
	}
	return drawn.Bytes()
}
