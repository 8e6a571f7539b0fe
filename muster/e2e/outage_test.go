package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// With RabbitMQ down, wiped, killed and started again under it, registering goes
// on, everybody can sign in within two seconds, and what was registered
// meanwhile is forwarded after all.
func TestBrokerDownWipedKilledAndBack(t *testing.T) {
	s := start(t)
	// register gives the stream of the new account.
	register := func(when string) string {
		t.Helper()
		p := somebody(when)
		registered := s.call(t, "AuthService/Register", p).ok(t)
		// It says so when the projection has the account within two seconds.
		if !registered.bool("signInReady") {
			t.Errorf("%s: cannot sign in after two seconds", when)
		}
		token := s.call(t, "AuthService/Login", map[string]any{"login": p.Username, "password": p.Password, "consistencyToken": registered.text("consistencyToken")}).ok(t).text("accessToken")
		s.call(t, "UserService/GetMe", map[string]any{}, bearer(token)).ok(t)
		return "user-" + registered.text("userId")
	}
	// A durable queue of our own takes what is published while nobody looks.
	s.witness(t)
	register("before")

	if err := s.Servers.StopBroker(); err != nil {
		t.Fatal(err)
	}
	meanwhile := []string{register("down-one"), register("down-two")}
	if err := s.Servers.StartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(s.Servers.AMQPURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	seen, err := channel.Consume(witness, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range meanwhile {
		awaitMessage(t, seen, "identity.user.user_registered", stream)
		awaitMessage(t, seen, "identity.user.password_set", stream)
	}
	if err := connection.Close(); err != nil {
		t.Fatal(err)
	}

	// Before the wipe: RabbitMQ loses a quorum queue that is killed within half a
	// second of its declaration.
	for _, server := range s.Servers.Servers() {
		if server.Name == "RabbitMQ" {
			if err := syscall.Kill(server.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	register("killed")
	again := s.events(t) // it was started again by itself
	awaitMessage(t, again, "identity.user.user_registered", register("killed-and-back"))

	if err := s.Servers.WipeBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	register("wiping")
	if err := s.Servers.StartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	register("wiped")
	after := s.events(t)
	awaitMessage(t, after, "identity.user.user_registered", register("wiped-and-back"))

	select {
	case err := <-s.Failed():
		t.Errorf("the system gave up: %v", err)
	default:
	}
}

// witness is a durable queue that takes all messages.
const witness = "e2e.witness"

func (s *world) witness(t *testing.T) {
	t.Helper()
	connection, channel := s.exchange(t)
	defer connection.Close()
	if _, err := channel.QueueDeclare(witness, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := channel.QueueBind(witness, "#", "muster.events", false, nil); err != nil {
		t.Fatal(err)
	}
}

// events listens to all messages on the exchange.
func (s *world) events(t *testing.T) <-chan amqp.Delivery {
	t.Helper()
	connection, channel := s.exchange(t)
	t.Cleanup(func() { _ = connection.Close() })
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, "#", "muster.events", false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

// exchange connects to the broker once the exchange is there: its publisher
// declares it when it is connected.
func (s *world) exchange(t *testing.T) (connection *amqp.Connection, channel *amqp.Channel) {
	t.Helper()
	eventually(t, 30*time.Second, "the exchange is there", func() bool {
		var err error
		if connection, err = amqp.Dial(s.Servers.AMQPURL.Reveal()); err != nil {
			return false
		}
		if channel, err = connection.Channel(); err == nil {
			err = channel.ExchangeDeclarePassive("muster.events", "topic", true, false, false, false, nil)
		}
		if err != nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return connection, channel
}

// awaitMessage waits for a message by its routing key's beginning and its stream.
func awaitMessage(t *testing.T, deliveries <-chan amqp.Delivery, key, stream string) amqp.Delivery {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case delivery, open := <-deliveries:
			if !open {
				t.Fatal("the connection to the broker broke")
			}
			if strings.HasPrefix(delivery.RoutingKey, key) && (stream == "" || delivery.Headers["stream"] == stream) {
				return delivery
			}
		case <-late:
			t.Fatalf("no message %s of %s", key, stream)
		}
	}
}

// eventually polls for a condition of another process, which gives no signal.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	late := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
