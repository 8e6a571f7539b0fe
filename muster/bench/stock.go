package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/platform/secret"
)

const (
	// stockTime is how long the rival works on the backlog: it would take minutes.
	stockTime = 60 * time.Second
	// stockCommit is how many messages its table was filled with in a transaction.
	stockCommit = 2000
	stockTopic  = "bench_stock"
	stockQueue  = "bench.stock"
)

// stock is what is made of stock parts: watermill-sql's subscriber on its own
// schema, watermill-amqp's publisher with confirms, its subscriber, and a row a
// transaction. Their settings are the default ones, but for those with which
// nobody would run them: a channel is kept rather than opened for each message,
// some messages are on the way to the consumer rather than one, and the table is
// looked at ten times a second rather than once. Its queue is a quorum queue, so
// a message is as safe as Muster's.
type stock struct {
	url      secret.String
	pool     *pgxpool.Pool
	patience time.Duration
	events   int
}

// newStock fills the rival's table with the same bytes.
func (w *world) newStock(ctx context.Context, messages []amqp.Publishing, patience time.Duration) (*stock, error) {
	pool, err := w.rivalDatabase(ctx, "bench_stock", 4)
	if err != nil {
		return nil, err
	}
	s := &stock{url: w.Servers.AMQPURL, pool: pool, patience: patience, events: len(messages)}
	if err := s.fill(ctx, messages); err != nil {
		pool.Close()
		return nil, fmt.Errorf("fill the rival's table: %w", err)
	}
	return s, nil
}

// rivalDatabase makes an empty database on the same server. What an interrupted
// run has left of it goes: the server is the bench's own.
func (w *world) rivalDatabase(ctx context.Context, name string, connections int32) (*pgxpool.Pool, error) {
	admin, err := w.asAdmin(ctx, "credentials")
	if err != nil {
		return nil, err
	}
	defer admin.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	quoted := pgx.Identifier{name}.Sanitize()
	for _, statement := range []string{`DROP DATABASE IF EXISTS ` + quoted + ` WITH (FORCE)`, `CREATE DATABASE ` + quoted} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("make the database %s: %w", name, err)
		}
	}
	address, err := url.Parse(w.Servers.AdminURL.Reveal())
	if err != nil {
		return nil, errors.New("the server's address is not a URL")
	}
	address.Path = "/" + name
	config, err := pgxpool.ParseConfig(address.String())
	if err != nil {
		return nil, fmt.Errorf("the address of the database %s: %w", name, err)
	}
	config.MaxConns = connections
	return pgxpool.NewWithConfig(ctx, config)
}

func (s *stock) schema() wsql.DefaultPostgreSQLSchema {
	return wsql.DefaultPostgreSQLSchema{GeneratePayloadType: func(string) string { return "BYTEA" }}
}

func (s *stock) fill(ctx context.Context, messages []amqp.Publishing) error {
	statements := []string{`CREATE TABLE access (id uuid PRIMARY KEY, stream text NOT NULL, version text NOT NULL, event bytea NOT NULL)`}
	for _, query := range append(s.schema().SchemaInitializingQueries(stockTopic), wsql.DefaultPostgreSQLOffsetsAdapter{}.SchemaInitializingQueries(stockTopic)...) {
		statements = append(statements, query.Query)
	}
	for _, statement := range statements {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for len(messages) > 0 {
		part := messages[:min(stockCommit, len(messages))]
		messages = messages[len(part):]
		if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var transaction uint64
			if err := tx.QueryRow(ctx, `SELECT pg_current_xact_id()`).Scan(&transaction); err != nil {
				return err
			}
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"watermill_" + stockTopic}, []string{"uuid", "payload", "metadata", "transaction_id"},
				pgx.CopyFromSlice(len(part), func(i int) ([]any, error) {
					metadata, err := json.Marshal(part[i].Headers)
					return []any{part[i].MessageId, part[i].Body, metadata, transaction}, err
				}))
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// prepare sets it back to the whole backlog.
func (s *stock) prepare(ctx context.Context) error {
	for _, statement := range []string{
		`TRUNCATE access, watermill_offsets_` + stockTopic, `VACUUM (ANALYZE)`, `CHECKPOINT`,
	} {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("set the rival back: %w", err)
		}
	}
	connection, err := amqp.Dial(s.url.Reveal())
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // nothing is pending
	return freshQueue(connection, stockQueue)
}

// run gives how many seconds the whole backlog takes at the rate that it keeps.
func (s *stock) run(ctx context.Context) (float64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	router, rows, err := s.router(ctx)
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }() // awaited below
	select {
	case err := <-ended:
		return 0, err
	case <-router.Running():
	}
	began := time.Now()
	var failed error
	for time.Since(began) < s.patience && rows.Load() < int64(s.events) {
		select {
		case failed = <-ended:
			return 0, errors.Join(errors.New("the rival ended"), failed)
		case <-time.After(look):
		}
	}
	done, took := rows.Load(), time.Since(began)
	stop()
	if err := errors.Join(<-ended, router.Close()); err != nil {
		return 0, err
	}
	if done == 0 {
		return 0, errors.New("the rival has carried nothing")
	}
	return took.Seconds() * float64(s.events) / float64(done), nil
}

// router is the parts, and a count of the rows that they have written.
func (s *stock) router(ctx context.Context) (*message.Router, *atomic.Int64, error) {
	var silent watermill.NopLogger
	database := stdlib.OpenDBFromPool(s.pool)
	context.AfterFunc(ctx, func() { _ = database.Close() })
	log, err := wsql.NewSubscriber(database, wsql.SubscriberConfig{
		SchemaAdapter: s.schema(), OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{}, PollInterval: 100 * time.Millisecond,
	}, silent)
	if err != nil {
		return nil, nil, err
	}
	config := wamqp.NewDurableQueueConfig(s.url.Reveal())
	config.Queue.Arguments = amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	config.Publish.ConfirmDelivery, config.Publish.ChannelPoolSize = true, 1
	config.Consume.Qos.PrefetchCount = 100
	publisher, err := wamqp.NewPublisher(config, silent)
	if err != nil {
		return nil, nil, err
	}
	subscriber, err := wamqp.NewSubscriber(config, silent)
	if err != nil {
		return nil, nil, err
	}
	router, err := message.NewRouter(message.RouterConfig{}, silent)
	if err != nil {
		return nil, nil, err
	}
	var rows atomic.Int64
	router.AddHandler("forward", stockTopic, log, stockQueue, publisher, message.PassthroughHandler)
	router.AddConsumerHandler("apply", stockQueue, subscriber, func(of *message.Message) error {
		_, err := s.pool.Exec(of.Context(), `INSERT INTO access (id, stream, version, event) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			of.UUID, of.Metadata.Get("stream"), of.Metadata.Get("version"), []byte(of.Payload))
		if err == nil {
			rows.Add(1)
		}
		return err
	})
	return router, &rows, nil
}

func (s *stock) close(context.Context) { s.pool.Close() }
