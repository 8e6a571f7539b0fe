package e2e_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// With RabbitMQ down, wiped, killed and started again under it, registering goes
// on, everybody can sign in within two seconds, and what was registered
// meanwhile is forwarded after all. A queue that RabbitMQ has lost with its kill
// is made again and holds nothing up.
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

	s.kill(t, "RabbitMQ")
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

	// It loses the queue that was declared last, if that is less than a second ago.
	if err := s.Servers.WipeBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Servers.StartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.queues(t, 0)
	s.witness(t) // RabbitMQ answers when it is on the disk, as are the names of the queues before it
	s.kill(t, "RabbitMQ")
	lost := s.events(t)
	awaitMessage(t, lost, "identity.user.user_registered", register("lost-and-made-again"))
	s.queues(t, 1)

	select {
	case err := <-s.Failed():
		t.Errorf("the system gave up: %v", err)
	default:
	}
}

// With S3 killed and away, whoever needs it is told so at once, and everything
// else goes on. When it is back there is no row without its object, and no
// object without its row.
func TestS3KilledAndBack(t *testing.T) {
	s := start(t)
	ada := s.joins(t, "ada-outage")
	picture := photograph(t, 200, 200, "")
	address := s.putAvatar(t, picture, ada.token).ok(t).text("avatarUrl")
	content := []byte("kept through the outage")
	kept := s.uploads(t, ada.token, "kept.txt", content)
	doomed := s.uploads(t, ada.token, "doomed.txt", content)
	sent := s.beginUpload(t, ada.token, "sent.txt", content)
	sent.post(t, s, content).taken(t)

	// Killed, and then kept from coming back by itself.
	s.kill(t, "S3")
	if err := s.Servers.StopS3(); err != nil {
		t.Fatal(err)
	}
	unavailable := func(what string, got answer) {
		t.Helper()
		if got.detail == nil || got.detail.GetReason() != "STORAGE_UNAVAILABLE" || got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", what, got.status, got.raw)
		}
	}
	unavailable("PUT /me/avatar", s.putAvatar(t, photograph(t, 90, 90, ""), ada.token))
	unavailable("UploadAvatar", s.call(t, "MediaService/UploadAvatar", map[string]any{"picture": picture}, ada.token))
	unavailable("CompleteUpload", s.call(t, "MediaService/CompleteUpload", file(sent.id), ada.token))
	if got := s.get(t, address); got.status != http.StatusServiceUnavailable {
		t.Errorf("the avatar is answered with %d %s", got.status, got.raw)
	}
	s.call(t, "MediaService/DeleteFile", file(doomed), ada.token).ok(t)
	s.call(t, "MediaService/GetFile", file(kept), ada.token).ok(t)
	me := s.call(t, "UserService/GetMe", map[string]any{}, s.signsIn(t, ada.person).token).ok(t)
	if me.user()["avatarUrl"] != address {
		t.Errorf("the avatar has changed: %s", me.raw)
	}

	if err := s.Servers.StartS3(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.get(t, address).isAvatar(t)
	if got := s.reads(t, ada.token, kept).ok(t); got.raw != string(content) {
		t.Errorf("read %q", got.raw)
	}
	s.call(t, "MediaService/CompleteUpload", file(sent.id), ada.token).ok(t)
	replaced := s.putAvatar(t, photograph(t, 91, 91, ""), ada.token).ok(t).text("avatarUrl")
	s.get(t, replaced).isAvatar(t)

	// Killed under way, it comes back by itself.
	s.kill(t, "S3")
	eventually(t, 60*time.Second, "S3 serves again", func() bool { return s.get(t, replaced).status == http.StatusOK })

	listed := s.call(t, "MediaService/ListFiles", map[string]any{}, ada.token).ok(t)
	files, _ := listed.body["files"].([]any)
	if len(files) != 2 {
		t.Errorf("files: %s", listed.raw)
	}
	for _, id := range []string{kept, sent.id} {
		if got := s.reads(t, ada.token, id).ok(t); got.raw != string(content) {
			t.Errorf("read %q", got.raw)
		}
	}
	// Two files and one avatar: what the failed calls had begun is swept once
	// nobody can be at it any more, and must not be there meanwhile.
	eventually(t, 60*time.Second, "there is an object for each row, and no other", func() bool { return len(s.objectsOf(t, ada.id)) == 3 })
	select {
	case err := <-s.Failed():
		t.Errorf("the system gave up: %v", err)
	default:
	}
}

// kill kills a server of the system.
func (s *world) kill(t *testing.T, name string) {
	t.Helper()
	for _, server := range s.Servers.Servers() {
		if server.Name == name {
			if err := syscall.Kill(server.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s does not run", name)
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

// queues waits until the queues of all projections are there and have so many
// consumers each.
func (s *world) queues(t *testing.T, consumers int) {
	t.Helper()
	connection, channel := s.exchange(t)
	defer connection.Close()
	for _, queue := range []string{"credentials.access", "identity.users", "identity.avatars", "media.erasure"} {
		eventually(t, time.Minute, queue+" is there", func() bool {
			found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
			if err == nil {
				return found.Consumers >= consumers
			}
			// What was refused has closed the channel.
			if channel, err = connection.Channel(); err != nil {
				t.Fatal(err)
			}
			return false
		})
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
	late := time.After(time.Minute)
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
