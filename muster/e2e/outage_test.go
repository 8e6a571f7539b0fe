package e2e_test

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// With RabbitMQ down, wiped and started again under it, registering goes on,
// everybody can sign in within two seconds, and the broker is used again once
// it is back.
func TestBrokerDownWipedAndBack(t *testing.T) {
	s := start(t)
	register := func(when string) {
		t.Helper()
		p := somebody(when)
		began := time.Now()
		s.call(t, "AuthService/Register", p).ok(t)
		token := s.call(t, "AuthService/Login", p.login()).ok(t).text("accessToken")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: register and sign in took %s", when, took)
		}
		s.call(t, "UserService/GetMe", map[string]any{}, bearer(token)).ok(t)
	}
	register("before")

	if err := s.Servers.StopBroker(); err != nil {
		t.Fatal(err)
	}
	register("down-one")
	register("down-two")

	if err := s.Servers.WipeBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Servers.StartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	register("wiped")

	// What was registered meanwhile is forwarded after all: its messages come by.
	seen := s.events(t)
	register("back")
	for wanted := range map[string]bool{"identity.user.user_registered": true, "identity.user.password_set": true} {
		s.awaitMessage(t, seen, wanted)
	}
	register("after")
}

// events listens to all messages on the exchange.
func (s *world) events(t *testing.T) <-chan amqp.Delivery {
	t.Helper()
	var channel *amqp.Channel
	// The publisher declares the exchange when it is connected again.
	eventually(t, 20*time.Second, "the exchange is there", func() bool {
		connection, err := amqp.Dial(s.Servers.AMQPURL.Reveal())
		if err != nil {
			return false
		}
		if channel, err = connection.Channel(); err == nil {
			if err = channel.ExchangeDeclarePassive("muster.events", "topic", true, false, false, false, nil); err == nil {
				t.Cleanup(func() { _ = connection.Close() })
				return true
			}
		}
		_ = connection.Close()
		return false
	})
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

func (s *world) awaitMessage(t *testing.T, deliveries <-chan amqp.Delivery, key string) amqp.Delivery {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case delivery, open := <-deliveries:
			if !open {
				t.Fatal("the connection to the broker broke")
			}
			if strings.HasPrefix(delivery.RoutingKey, key) {
				return delivery
			}
		case <-late:
			t.Fatalf("no message %s", key)
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
