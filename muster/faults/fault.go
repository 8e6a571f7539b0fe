package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/muster/internal/system"
)

// breaker makes parts fail and brings them back.
type breaker struct {
	world   *world
	network *network
	// mutex keeps the system's handles to one caller at a time, and guards away.
	mutex sync.Mutex
	// away are the services that a fault has ended and not yet started again.
	away map[string]bool
}

const (
	// accessQueue is one of those that are declared at a new RabbitMQ, and
	// queuedBound how long to wait for it.
	accessQueue = "credentials.access"
	queuedBound = 10 * time.Second
)

// restartPause is how long after its end a service is started again.
const restartPause = time.Second

// watch starts the services again that end by themselves, as whatever runs
// containers does, until ctx ends. It gives which they were.
func (b *breaker) watch(ctx context.Context) (ended []string, err error) {
	for err == nil && backoff.Sleep(ctx, restartPause) == nil {
		err = b.locked(func() error {
			for _, name := range services() {
				if b.away[name] {
					continue
				}
				gone, err := b.world.Ended(name)
				if err == nil && gone {
					ended = append(ended, name)
					err = b.world.Again(name)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return ended, err
}

// services are the processes of Muster itself.
func services() []string { return []string{identity, system.Standby, credentials, media, gateway} }

// strike makes a part fail, waits for as long as the fault lasts and brings the
// part back. It gives when the fault was over, which is before the part answers.
// The end of ctx cuts the fault short, not the coming back.
func (b *breaker) strike(ctx context.Context, f fault) (over time.Time, err error) {
	back := context.WithoutCancel(ctx)
	var comeBack func(context.Context) error
	switch {
	case f.way == cutOff:
		comeBack, err = b.cutOff(f)
	case f.part == postgres:
		comeBack, err = b.strikePostgres(ctx, f)
	case f.part == rabbitmq || f.part == s3:
		comeBack, err = b.strikeServer(ctx, f)
	default:
		comeBack, err = b.strikeService(f)
	}
	if err == nil {
		_ = backoff.Sleep(ctx, f.lasts) // cut short at the end of the run
	}
	over = time.Now()
	if comeBack != nil {
		err = errors.Join(err, comeBack(back))
	}
	if err != nil {
		return over, fmt.Errorf("%s: %w", f, err)
	}
	return over, nil
}

func (b *breaker) cutOff(f fault) (func(context.Context) error, error) {
	links := b.network.links(f.part)
	if f.one >= 0 {
		links = slices.Clone(links[f.one%len(links):][:1])
	}
	return b.network.cut(links, f.cut)
}

// strikeService is for the processes of Muster itself.
func (b *breaker) strikeService(f fault) (func(context.Context) error, error) {
	end := func(by func() error) error {
		return b.locked(func() error {
			b.away[f.part] = true
			return by()
		})
	}
	again := func(context.Context) error {
		return b.locked(func() error {
			delete(b.away, f.part)
			return b.world.Again(f.part)
		})
	}
	signal := func(signal syscall.Signal) error {
		return b.locked(func() error { return b.world.Signal(f.part, signal) })
	}
	switch f.way {
	case killed:
		return again, end(func() error { return b.world.Signal(f.part, syscall.SIGKILL) })
	case stopped:
		return func(context.Context) error { return signal(syscall.SIGCONT) }, signal(syscall.SIGSTOP)
	case restarted:
		return again, end(func() error { return b.world.End(f.part) })
	}
	return nil, fmt.Errorf("%s cannot be %s", f.part, f.way)
}

func (b *breaker) strikePostgres(ctx context.Context, f fault) (func(context.Context) error, error) {
	servers := b.world.Servers
	switch f.way {
	case killed:
		return servers.StartPostgres, servers.CrashPostgres(ctx)
	case stopped:
		goOn, err := servers.PausePostgres()
		if err != nil {
			return nil, err
		}
		return func(context.Context) error { return goOn() }, nil
	case restarted:
		return servers.StartPostgres, servers.StopPostgres()
	}
	return nil, fmt.Errorf("%s cannot be %s", f.part, f.way)
}

// strikeServer is for RabbitMQ and S3, which are started again by themselves
// when they are killed.
func (b *breaker) strikeServer(ctx context.Context, f fault) (func(context.Context) error, error) {
	servers := b.world.Servers
	stop, start := servers.StopS3, servers.StartS3
	if f.part == rabbitmq {
		stop, start = servers.StopBroker, servers.StartBroker
	}
	switch f.way {
	case killed:
		return func(context.Context) error { return nil }, b.signalServer(f.part, syscall.SIGKILL)
	case stopped:
		return func(context.Context) error { return b.signalServer(f.part, syscall.SIGCONT) }, b.signalServer(f.part, syscall.SIGSTOP)
	case restarted:
		return start, stop()
	case wiped:
		return start, servers.WipeBroker(ctx)
	case young:
		if err := errors.Join(servers.WipeBroker(ctx), start(context.WithoutCancel(ctx))); err != nil {
			return start, err
		}
		if err := b.queued(ctx); err != nil {
			return nil, err
		}
		return func(context.Context) error { return nil }, b.signalServer(f.part, syscall.SIGKILL)
	}
	return nil, fmt.Errorf("%s cannot be %s", f.part, f.way)
}

// queued waits until the services have declared their queues, or for a bound.
func (b *breaker) queued(ctx context.Context) error {
	connection, err := amqp.DialConfig(b.world.Servers.AMQPURL.Reveal(), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer connection.Close() //nolint:errcheck // nothing of it is kept
	ctx, cancel := context.WithTimeout(ctx, queuedBound)
	defer cancel()
	for ctx.Err() == nil {
		channel, err := connection.Channel()
		if err != nil {
			return fmt.Errorf("connect to RabbitMQ: %w", err)
		}
		// What is not there closes the channel.
		if _, err := channel.QueueDeclarePassive(accessQueue, true, false, false, false, nil); err == nil {
			return nil
		}
		_ = backoff.Sleep(ctx, 20*time.Millisecond)
	}
	return nil
}

func (b *breaker) signalServer(name string, signal syscall.Signal) error {
	for _, server := range b.world.Servers.Servers() {
		if server.Name == name {
			return syscall.Kill(server.PID, signal)
		}
	}
	return fmt.Errorf("%s does not run", name)
}

// calm lets whatever is stopped go on.
func (b *breaker) calm() error {
	return b.locked(func() error {
		var errs []error
		for _, service := range services() {
			errs = append(errs, b.world.Signal(service, syscall.SIGCONT))
		}
		return errors.Join(errs...)
	})
}

func (b *breaker) locked(do func() error) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return do()
}
