package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/platform/secret"
)

const bareQueue = "bench.bare"

// bareWay is what no event can do without on its way: a row that is committed,
// then a publish that is confirmed, and its delivery to a consumer. Each message
// goes this way by itself, many of them at once, with nothing else around.
type bareWay struct {
	url   secret.String
	pool  *pgxpool.Pool
	bytes []byte
}

func (w *world) newBareWay(ctx context.Context) (*bareWay, error) {
	pool, err := w.rivalDatabase(ctx, "bench_bare", appenders)
	if err != nil {
		return nil, err
	}
	p := &bareWay{url: w.Servers.AMQPURL, pool: pool}
	// What an event is in the log: the sum of its columns, and its two keys.
	var size int
	err = w.events.QueryRow(ctx, `SELECT avg(pg_column_size(e.*))::int FROM log.events AS e`).Scan(&size)
	if err == nil {
		p.bytes = make([]byte, size)
		_, err = pool.Exec(ctx, `
			CREATE TABLE events (
				"offset" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				stream text NOT NULL, version bigint NOT NULL, event bytea NOT NULL,
				UNIQUE (stream, version)
			)`)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("prepare the bare way: %w", err)
	}
	return p, nil
}

func (p *bareWay) close() { p.pool.Close() }

// run sends n messages at a rate and gives the time of each from when it was due
// until it was both confirmed and delivered.
func (p *bareWay) run(ctx context.Context, rate float64, n int) (*delays, error) {
	connection, err := amqp.Dial(p.url.Reveal())
	if err != nil {
		return nil, err
	}
	defer connection.Close() //nolint:errcheck // nothing is pending
	if err := freshQueue(connection, bareQueue); err != nil {
		return nil, err
	}
	sending, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if err := sending.Confirm(false); err != nil {
		return nil, err
	}
	consumer, err := amqp.Dial(p.url.Reveal())
	if err != nil {
		return nil, err
	}
	defer consumer.Close() //nolint:errcheck // nothing is pending
	delivered := make([]chan struct{}, n)
	for i := range delivered {
		delivered[i] = make(chan struct{})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return receive(ctx, consumer, delivered) })
	found := &delays{}
	group.Go(func() error {
		var turn sync.Mutex // a channel publishes one after the other
		return paced(ctx, rate, n, func(ctx context.Context, i int, due time.Time, after time.Duration) error {
			if _, err := p.pool.Exec(ctx, `INSERT INTO events (stream, version, event) VALUES ($1, 1, $2)`, fmt.Sprintf("%s%d-%d", userStream, due.UnixNano(), i), p.bytes); err != nil {
				return err
			}
			turn.Lock()
			confirm, err := sending.PublishWithDeferredConfirm("", bareQueue, true, false, amqp.Publishing{
				DeliveryMode: amqp.Persistent, Headers: amqp.Table{"n": int64(i)}, Body: p.bytes,
			})
			turn.Unlock()
			if err != nil {
				return err
			}
			stored, err := confirm.WaitContext(ctx)
			if err != nil {
				return err
			}
			if !stored {
				return errors.New("RabbitMQ has refused a message")
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-delivered[i]:
			}
			found.add(after, time.Since(due))
			return nil
		})
	})
	return found, group.Wait()
}

// receive tells of each message that is delivered, and returns after the last.
func receive(ctx context.Context, connection *amqp.Connection, delivered []chan struct{}) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(alonePrefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(bareQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for range delivered {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case delivery, more := <-deliveries:
			if !more {
				return amqp.ErrClosed
			}
			n, _ := delivery.Headers["n"].(int64)
			close(delivered[n])
			if err := delivery.Ack(false); err != nil {
				return err
			}
		}
	}
	return nil
}
