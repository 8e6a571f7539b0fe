package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// backlog is how many events wait when the rivals are measured, and
	// quickBacklog with --quick.
	backlog, quickBacklog = 200_000, 10_000
	// carryBound is how long a backlog may take.
	carryBound = 10 * time.Minute
	// look is how often is looked how far something is.
	look = 10 * time.Millisecond
	// accessQueue is what the access projection reads.
	accessQueue = "credentials.access"
	// leaderLocks is the class of the locks that active readers of a log hold.
	leaderLocks = 0x6d757374
)

// measureBacklog has events carried from the log over RabbitMQ into the rows of
// access: by identity's forwarder and credentials' projection as they run. The
// backlog is brought about while nothing goes on: the forwarder is kept from its
// lead, the rows of access and what counts as applied are deleted, and the
// checkpoint is set to the beginning. The projection's tail of the log stays
// where it is, at the head, so nothing comes that way; that it has not moved is
// looked at after each round. How fast the tail carries a backlog is what the
// rebuild measures.
func measureBacklog(ctx context.Context, b *bench) error {
	return b.aside(ctx, "backlog", func() error {
		w, err := b.open(ctx, true)
		if err != nil {
			return err
		}
		c, err := w.carrier(ctx)
		if err != nil {
			return err
		}
		defer c.close(ctx)
		rivals := backlog
		sizes := b.Sizes
		if b.Quick {
			rivals, sizes = quickBacklog, []int{quickBacklog, 3 * quickBacklog}
		}
		sizes = append(slices.Clone(sizes), rivals)
		slices.Sort(sizes)
		var took []point
		for _, size := range slices.Compact(sizes) {
			events, err := b.fillTo(ctx, w, size)
			if err != nil {
				return err
			}
			if events > int64(size)+int64(size)/2 {
				b.say("the kept log has %s events already: %s cannot be measured", count(float64(events)), count(float64(size)))
				continue
			}
			var times sample
			if size == rivals {
				times, err = b.carryAgainst(ctx, c, events)
			} else {
				times, err = b.carryAlone(ctx, c, events)
			}
			if err != nil {
				return err
			}
			took = append(took, point{float64(events), times.median()})
		}
		if len(took) > 1 {
			b.report.curves = append(b.report.curves, curve{what: "backlog over RabbitMQ", points: took, text: seconds, reach: atMost(1.05)})
		}
		return nil
	})
}

// aside runs a measurement on a data directory of its own, since it needs a log
// of a certain size that nobody else has written to.
func (b *bench) aside(_ context.Context, name string, do func() error) (err error) {
	if err := b.close(); err != nil {
		return err
	}
	data, people := b.Data, b.people
	b.Data = filepath.Join(data, name)
	defer func() {
		err = errors.Join(err, b.close(), b.clear())
		b.Data, b.people = data, people
	}()
	return do()
}

func (b *bench) carryAlone(ctx context.Context, c *carrier, events int64) (sample, error) {
	samples, err := b.takeTurns(ctx, "backlog of "+count(float64(events))+" events", seconds, b.carrying(c, events, nil))
	if err != nil {
		return nil, err
	}
	return samples[0], nil
}

// carrying is what is measured. It tells the processor time of its last round.
func (b *bench) carrying(c *carrier, events int64, processor *used) side {
	rounds := 0
	return side{name: "Muster", prepare: c.prepare, measure: func(ctx context.Context) (took float64, err error) {
		rounds++
		before, err := c.world.uses()
		if err != nil {
			return 0, err
		}
		err = b.profiled(ctx, c.world, fmt.Sprintf("backlog-%d-%d", events, rounds), func() (err error) {
			took, err = c.carry(ctx, events)
			return err
		})
		if err != nil {
			return 0, err
		}
		after, err := c.world.uses()
		if processor != nil {
			*processor = after.since(before)
		}
		return took, err
	}}
}

// carryAgainst has the rivals take turns with the same backlog, byte for byte.
func (b *bench) carryAgainst(ctx context.Context, c *carrier, events int64) (sample, error) {
	messages, err := c.world.messages(ctx, events)
	if err != nil {
		return nil, err
	}
	patience := stockTime
	if b.Quick {
		patience = 3 * time.Second
	}
	stock, err := c.world.newStock(ctx, messages, patience)
	if err != nil {
		return nil, err
	}
	defer stock.close(ctx)
	alone := &brokerAlone{url: c.world.Servers.AMQPURL, messages: messages}
	var processor used
	what := "backlog of " + count(float64(events)) + " events, log → RabbitMQ → access rows"
	samples, err := b.takeTurns(ctx, what, seconds,
		b.carrying(c, events, &processor),
		side{name: "RabbitMQ alone", prepare: alone.prepare, measure: timed(alone.run)},
		side{name: "stock Watermill, at its rate", prepare: stock.prepare, measure: stock.run},
	)
	if err != nil {
		return nil, err
	}
	rate := eachSecond(float64(events), "events")
	for i, rival := range []struct {
		name  string
		reach bound
	}{
		{fmt.Sprintf("RabbitMQ alone: quorum queue, confirms, window %d", aloneWindow), atLeast(0.70)},
		{fmt.Sprintf("stock watermill-sql → watermill-amqp → one row a transaction, %s of it", patience), atLeast(40)},
	} {
		b.add(row{
			what: what, rival: rival.name,
			ratio: samples[i+1].over(samples[0]), reach: rival.reach,
			ours: absolute{samples[0], rate}, theirs: absolute{samples[i+1], rate},
		})
	}
	b.note("A backlog of %s events: all of them came by the broker, none by the tail of the log, which stood at the head. RabbitMQ stored each in the queue of identity's own projection as well, which looked at it and passed over it; alone it had one queue. Processor time in the last round: %s.",
		count(float64(events)), processor)
	return samples[0], nil
}

// carrier brings a backlog about and has it carried.
type carrier struct {
	world *world
	// identity and credentials are their databases.
	identity, credentials *pgx.Conn
	// lock is what the forwarder leads by.
	lock int32
	// held: the forwarder waits for us.
	held bool
	// cursor of the tail, and how many events were applied, before.
	cursor  string
	applied float64
}

func (w *world) carrier(ctx context.Context) (*carrier, error) {
	name := fnv.New32a()
	_, _ = name.Write([]byte(forwarder))               // never fails
	c := &carrier{world: w, lock: int32(name.Sum32())} //nolint:gosec // as the log makes its keys
	var err error
	if c.identity, err = w.asAdmin(ctx, "identity"); err != nil {
		return nil, err
	}
	if c.credentials, err = w.asAdmin(ctx, "credentials"); err != nil {
		return nil, errors.Join(err, c.identity.Close(ctx))
	}
	return c, nil
}

func (c *carrier) close(ctx context.Context) {
	_ = c.identity.Close(context.WithoutCancel(ctx)) // and the lock with it
	_ = c.credentials.Close(context.WithoutCancel(ctx))
}

// hold takes the lead from the forwarder, which then waits for it.
func (c *carrier) hold(ctx context.Context) error {
	for !c.held {
		_, err := c.identity.Exec(ctx, `
			SELECT pg_terminate_backend(pid)
			FROM pg_locks
			WHERE locktype = 'advisory' AND classid = $1::bigint AND objid = $2::bigint AND granted AND pid <> pg_backend_pid()
			  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, int64(leaderLocks), int64(uint32(c.lock))) //nolint:gosec // as pg_locks shows it
		if err == nil {
			err = c.identity.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, $2)`, leaderLocks, c.lock).Scan(&c.held)
		}
		if err == nil && !c.held {
			err = backoff.Sleep(ctx, look)
		}
		if err != nil {
			return fmt.Errorf("keep the forwarder from its lead: %w", err)
		}
	}
	return nil
}

// release lets the forwarder lead, and returns once it does.
func (c *carrier) release(ctx context.Context) error {
	if _, err := c.identity.Exec(ctx, `SELECT pg_advisory_unlock($1, $2)`, leaderLocks, c.lock); err != nil {
		return err
	}
	c.held = false
	for led := false; !led; {
		err := c.identity.QueryRow(ctx, `
			SELECT EXISTS (
				SELECT FROM pg_locks
				WHERE locktype = 'advisory' AND classid = $1::bigint AND objid = $2::bigint AND granted
				  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, int64(leaderLocks), int64(uint32(c.lock))).Scan(&led) //nolint:gosec // as pg_locks shows it
		if err == nil && !led {
			err = backoff.Sleep(ctx, look)
		}
		if err != nil {
			return fmt.Errorf("wait for the forwarder: %w", err)
		}
	}
	return nil
}

// prepare brings the backlog about: every event is in the log, none is forwarded
// or applied, and nothing goes on.
func (c *carrier) prepare(ctx context.Context) error {
	if err := c.hold(ctx); err != nil {
		return err
	}
	if err := c.drained(ctx); err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, c.credentials, func(tx pgx.Tx) error {
		for _, statement := range []string{
			// The order in which a batch locks them.
			`SELECT FROM read.projections WHERE name = 'access' FOR UPDATE`,
			`TRUNCATE read.applied, read.access`,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("delete the rows: %w", err)
	}
	if _, err := c.identity.Exec(ctx, `UPDATE log.forwarder_checkpoint SET cursor = '' WHERE reader = $1`, forwarder); err != nil {
		return fmt.Errorf("set the checkpoint back: %w", err)
	}
	if err := errors.Join(c.world.tidy(ctx, "credentials"), c.world.tidy(ctx, "identity")); err != nil {
		return err
	}
	var err error
	if c.applied, err = c.world.applied(ctx); err != nil {
		return err
	}
	c.cursor, err = c.tail(ctx)
	return err
}

// tail is the cursor that the tail of the log has reached.
func (c *carrier) tail(ctx context.Context) (cursor string, err error) {
	err = c.credentials.QueryRow(ctx, `SELECT cursor FROM read.generations WHERE projection = 'access' AND state = 'serving'`).Scan(&cursor)
	return cursor, err
}

// drained waits until the queues of identity's events are empty.
func (c *carrier) drained(ctx context.Context) error {
	connection, err := amqp.Dial(c.world.Servers.AMQPURL.Reveal())
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // nothing is pending
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	for _, queue := range []string{accessQueue, "identity.users"} {
		for {
			found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
			if err != nil {
				return fmt.Errorf("look at the queue %s: %w", queue, err)
			}
			if found.Messages == 0 {
				break
			}
			if err := backoff.Sleep(ctx, watch); err != nil {
				return err
			}
		}
	}
	return nil
}

// carry gives the seconds from when the forwarder leads until all is in the rows.
func (c *carrier) carry(ctx context.Context, events int64) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, carryBound)
	defer cancel()
	if err := c.release(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	for {
		applied, err := c.world.applied(ctx)
		if err != nil {
			return 0, fmt.Errorf("wait for the rows: %w", err)
		}
		if applied-c.applied >= float64(events) {
			break
		}
		if err := backoff.Sleep(ctx, look); err != nil {
			return 0, fmt.Errorf("wait for the rows, %s of %s events are there: %w", count(applied-c.applied), count(float64(events)), err)
		}
	}
	took := time.Since(began).Seconds()
	var inRows int64
	if err := c.credentials.QueryRow(ctx, `SELECT sum(version) FROM read.applied WHERE projection = 'access'`).Scan(&inRows); err != nil {
		return 0, fmt.Errorf("look at the rows: %w", err)
	}
	cursor, err := c.tail(ctx)
	switch {
	case err != nil:
		return 0, err
	case inRows != events:
		return 0, fmt.Errorf("the rows are of %d events, not %d", inRows, events)
	case cursor != c.cursor:
		return 0, errors.New("the tail of the log has carried a part of it")
	}
	return took, nil
}

// applied is how many events credentials has applied since its start.
func (w *world) applied(ctx context.Context) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Metrics["credentials"]+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "muster_projection_applied_total{") && strings.Contains(name, `"`+access+`"`) {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.New("credentials does not tell what it has applied")
}
