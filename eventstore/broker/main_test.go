package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var users = Topology{Queue: "credentials.access", Bindings: []string{"identity.user.*"}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections to the management API, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

// events makes count events, spread over streams, each in order.
func events(t testing.TB, streams, count int) []eventstore.Event {
	t.Helper()
	made := make([]eventstore.Event, count)
	for i := range made {
		id, err := uuid.NewV7()
		require.NoError(t, err)
		stream := fmt.Sprintf("user-%d", i%streams)
		made[i] = eventstore.Event{
			ID: id, Log: "identity", Epoch: 1, Stream: stream, Version: int64(i/streams) + 1, Shard: eventstore.ShardOf(stream),
			Type: "muster.identity.events.v1.UserRegistered", SchemaVersion: 1, OccurredAt: time.Unix(1_700_000_000, 0).UTC(),
			Payload: bytes.Repeat([]byte("p"), 300), Metadata: eventstore.Metadata{Actor: stream},
		}
	}
	return made
}

func connect(t testing.TB, url string) *Connection {
	t.Helper()
	connection, err := Connect(t.Context(), Config{URL: secret.New(url), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, connection.Close()) })
	return connection
}

// connected waits for the broker as well.
func connected(t testing.TB, url string) *Connection {
	t.Helper()
	connection := connect(t, url)
	waitUp(t, connection, true)
	return connection
}

func waitUp(t testing.TB, connection *Connection, up bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		link, changed := connection.state()
		if (link != nil) == up {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("broker is not up=%v", up)
		}
	}
}

// publishUntil publishes as the forwarder does: until it is confirmed.
func publishUntil(t testing.TB, publisher *Publisher, events []eventstore.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var retry backoff.Backoff
	for {
		err := publisher.PublishBatch(ctx, events)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("not published: %v", err)
			return
		}
		_ = retry.Pause(ctx) // looked at above
	}
}

func receive(t testing.TB, from <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case received, open := <-from:
		require.True(t, open, "subscription has ended")
		return received
	case <-time.After(patience):
		t.Fatal("no message")
		return nil
	}
}

func decode(t testing.TB, received *message.Message) eventstore.Event {
	t.Helper()
	event, err := Decode(received)
	require.NoError(t, err)
	return event
}

// raw is a channel of the test's own, to look and to break.
func raw(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	require.NoError(t, err)
	return channel
}

// declared makes the queue without consuming it.
func declared(t testing.TB, url string, topology Topology) {
	t.Helper()
	require.NoError(t, topology.declare(raw(t, url)))
}

// eventually asks until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	require.Eventually(t, so, patience, 50*time.Millisecond, what)
}

// cut ends all connections from the broker's side, as soon as it lists them.
func cut(t testing.TB, url string) {
	t.Helper()
	eventually(t, "broker lists no connection", func() bool { return teststack.CloseConnections(t, url) > 0 })
}

// network stands between a connection and the broker, and can fail.
type network struct {
	listener net.Listener
	target   string
	wait     sync.WaitGroup

	mu     sync.Mutex
	limits []int64       // bytes that each next connection may send before it is cut
	deaf   chan struct{} // non-nil: what the broker says is held back until closed
	// swallows tells which frames of a client do not get through; nil for none.
	swallows func(frame []byte) bool
	ends     []net.Conn
	closed   bool
}

// through gives a URL that leads to the broker through a network, which cuts the
// first connections after so many bytes.
func through(t testing.TB, amqpURL string, limits ...int64) (*network, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address, err := url.Parse(amqpURL)
	require.NoError(t, err)
	n := &network{listener: listener, target: address.Host, limits: limits}
	address.Host = listener.Addr().String()
	n.wait.Go(n.accept)
	t.Cleanup(func() {
		n.hear()
		n.mu.Lock()
		n.closed = true
		n.mu.Unlock()
		_ = listener.Close()
		n.cut()
		n.wait.Wait()
	})
	return n, address.String()
}

func (n *network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", n.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		n.mu.Lock()
		n.ends = append(n.ends, client, server)
		closed := n.closed
		limit := int64(math.MaxInt64)
		if len(n.limits) > 0 {
			limit, n.limits = n.limits[0], n.limits[1:]
		}
		swallows := n.swallows
		n.mu.Unlock()
		if closed {
			n.cut()
		}
		n.wait.Go(func() { defer n.drop(client, server); speak(server, io.LimitReader(client, limit), swallows) })
		n.wait.Go(func() { defer n.drop(client, server); n.listen(client, server) })
	}
}

// swallow keeps frames of later connections from the broker.
func (n *network) swallow(which func(frame []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.swallows = which
}

func speak(server io.Writer, client io.Reader, swallows func(frame []byte) bool) {
	if swallows == nil {
		_, _ = io.Copy(server, client)
		return
	}
	const head = 7 // kind, channel, size; an octet ends the frame
	reader := bufio.NewReader(client)
	if _, err := io.CopyN(server, reader, int64(len("AMQP\x00\x00\x09\x01"))); err != nil {
		return
	}
	for {
		peeked, err := reader.Peek(head)
		if err != nil {
			return
		}
		frame := make([]byte, head+binary.BigEndian.Uint32(peeked[3:])+1)
		if _, err := io.ReadFull(reader, frame); err != nil {
			return
		}
		if swallows(frame) {
			continue
		}
		if _, err := server.Write(frame); err != nil {
			return
		}
	}
}

func (n *network) listen(client, server net.Conn) {
	buffer := make([]byte, 32*1024)
	for {
		count, err := server.Read(buffer)
		if err != nil {
			return
		}
		n.mu.Lock()
		deaf := n.deaf
		n.mu.Unlock()
		if deaf != nil {
			<-deaf
		}
		if _, err := client.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func (n *network) drop(ends ...net.Conn) {
	for _, end := range ends {
		_ = end.Close()
	}
}

// cut breaks every connection without a goodbye.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(n.ends...)
	n.ends = nil
}

// cutsLeft tells how many connections are still to be cut by their limit.
func (n *network) cutsLeft() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.limits)
}

// silence holds back what the broker says, until hear.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = make(chan struct{})
}

func (n *network) hear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf != nil {
		close(n.deaf)
		n.deaf = nil
	}
}

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(bytes []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(bytes)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
