package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// dialTimeout bounds connecting with the TLS and AMQP handshakes.
	dialTimeout = 5 * time.Second
	// heartbeat of the connection: a silent broker is given up after three.
	heartbeat = 5 * time.Second
	// callTimeout bounds a write, and each group of calls that await an answer.
	callTimeout = 5 * time.Second
)

var (
	// ErrInvalidURL means that the URL is not an AMQP URL. It is not quoted, since
	// it holds a password.
	ErrInvalidURL = errors.New("broker URL is not an AMQP URL")
	// ErrNotConnected means that there is no broker at present. Try again later.
	ErrNotConnected = errors.New("not connected to the broker")
	// ErrClosed means that the owner has closed it.
	ErrClosed = errors.New("closed")

	errNoAnswer = errors.New("the broker does not answer")
)

// Config says where the broker is.
type Config struct {
	// URL of the broker, amqp:// or amqps://, password included: a secret.String.
	URL interface{ Reveal() string }
	// Logger is told of each change of state, once.
	Logger *slog.Logger
}

// Connection keeps a connection to the broker, and makes a new one whenever it
// is lost. Publish and subscribe over two of them: a broker that is short of
// memory stops reading from a connection that publishes.
type Connection struct {
	url    string
	logger *slog.Logger
	stop   context.CancelFunc
	done   chan struct{} // closed when run has ended

	mu      sync.Mutex
	current *link         // nil while there is no broker
	changed chan struct{} // closed at the next change of current
}

// Connect starts to connect and returns at once: there need not be a broker
// yet. It goes on until ctx ends or Close. The only error is ErrInvalidURL.
func Connect(ctx context.Context, config Config) (*Connection, error) {
	url := config.URL.Reveal()
	uri, err := amqp.ParseURI(url)
	if err != nil {
		return nil, ErrInvalidURL // the cause may quote the URL
	}
	ctx, stop := context.WithCancel(ctx)
	c := &Connection{
		url:     url,
		logger:  config.Logger.With(slog.String("broker", uri.Host), slog.String("vhost", uri.Vhost)),
		stop:    stop,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	go c.run(ctx)
	return c, nil
}

// Close ends the connection and waits until it has ended.
func (c *Connection) Close() error {
	c.stop()
	<-c.done
	return nil
}

func (c *Connection) run(ctx context.Context) {
	defer close(c.done)
	defer c.stop()
	var retry backoff.Backoff
	reported := false
	for {
		link, err := dial(ctx, c.url)
		if err == nil {
			since := time.Now()
			c.logger.Info("broker is up")
			c.set(link)
			err = link.wait(ctx)
			c.set(nil)
			link.close()
			reported = false
			retry.Worked(since)
		}
		if ctx.Err() == nil && !reported {
			c.logger.Warn("broker is down, trying again until it is up", slog.Any("error", err))
			reported = true
		}
		if retry.Pause(ctx) != nil {
			return
		}
	}
}

func (c *Connection) state() (*link, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.changed
}

func (c *Connection) set(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = l
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits for the broker.
func (c *Connection) await(ctx context.Context) (*link, error) {
	for {
		link, changed := c.state()
		if link != nil {
			return link, nil
		}
		select {
		case <-changed:
		case <-c.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// link is one connection, from its making to its end.
type link struct {
	*amqp.Connection
	socket net.Conn
	closed chan *amqp.Error
}

func dial(ctx context.Context, url string) (*link, error) {
	l := &link{}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connection, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat: heartbeat,
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			l.socket = socket{conn}
			// For the handshakes; the library lifts it after them.
			return l.socket, conn.SetDeadline(time.Now().Add(dialTimeout))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	l.Connection = connection
	l.closed = connection.NotifyClose(make(chan *amqp.Error, 1))
	return l, nil
}

// wait waits until the connection is lost, and tells why, or until ctx ends.
func (l *link) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case reason := <-l.closed:
		if reason == nil { // closed without a reason, which is a reason too
			return amqp.ErrClosed
		}
		return reason
	}
}

// within runs calls that the library does not bound. When they take too long,
// the socket is closed under them, which ends them with errNoAnswer.
func (l *link) within(limit time.Duration, calls func() error) error {
	timer := time.AfterFunc(limit, func() { _ = l.socket.Close() })
	err := calls()
	if !timer.Stop() && err != nil {
		return fmt.Errorf("%w within %s: %w", errNoAnswer, limit, err)
	}
	return err
}

func (l *link) close() {
	_ = l.CloseDeadline(time.Now().Add(callTimeout)) // it may be gone already
	_ = l.socket.Close()
}

// socket bounds each write: a broker that is short of memory stops reading, and
// the library's writes have no end of their own.
type socket struct{ net.Conn }

func (s socket) Write(bytes []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(bytes)
}
