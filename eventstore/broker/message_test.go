package broker

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/eventstore"
)

func TestEventIsTheSameAfterTheBroker(t *testing.T) {
	t.Parallel()
	event := events(t, 1, 1)[0]
	event.Sealed, event.KeyID = []byte{1, 2}, "key"
	event.MetadataSealed, event.MetadataKeyID = []byte{3}, "actor"
	encoded, err := Encode(event)
	require.NoError(t, err)
	require.Equal(t, event.ID.String(), encoded.UUID)
	require.Equal(t, message.Metadata{
		HeaderLog: "identity", HeaderEpoch: "1", HeaderType: event.Type, HeaderStream: "user-0", HeaderVersion: "1", HeaderShard: encoded.Metadata[HeaderShard],
	}, encoded.Metadata)

	publishing, err := Marshaler{}.Marshal(encoded)
	require.NoError(t, err)
	require.Equal(t, amqp.Persistent, publishing.DeliveryMode)
	received, err := Marshaler{}.Unmarshal(amqp.Delivery{MessageId: publishing.MessageId, Headers: publishing.Headers, Body: publishing.Body})
	require.NoError(t, err)
	require.True(t, encoded.Equals(received))
	require.Equal(t, event, decode(t, received))
}

func TestAnyHeaderOfTheBrokerIsTolerated(t *testing.T) {
	t.Parallel()
	received, err := Marshaler{}.Unmarshal(amqp.Delivery{Headers: amqp.Table{
		"x-delivery-count": int64(3),
		"x-death":          []any{amqp.Table{"count": int64(1)}},
		"table":            amqp.Table{},
		"nothing":          nil,
		"bytes":            []byte("b"),
		"truth":            true,
		"time":             time.Unix(0, 0).UTC(),
	}})
	require.NoError(t, err)
	require.Equal(t, message.Metadata{
		"x-delivery-count": "3", "bytes": "b", "truth": "true", "time": "1970-01-01 00:00:00 +0000 UTC",
	}, received.Metadata)
}

func TestRoutingKeyIsContextAggregateEvent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typed, stream, key string }{
		{"muster.identity.events.v1.UserRegistered", "user-0192", "identity.user.user_registered"},
		{"muster.identity.events.v1.PasswordSet", "user-1-2", "identity.user.password_set"},
		{"muster.identity.events.v1.UserMFAEnabled", "user-1", "identity.user.user_mfa_enabled"},
		{"muster.media.events.v1.Stored", "file-1", "media.file.stored"},
		{"Alone", "alone", "Alone.alone.alone"},
		{"", "", ".."},
	} {
		require.Equal(t, test.key, RoutingKey(eventstore.Event{Type: test.typed, Stream: test.stream}))
	}
}

func FuzzDecode(f *testing.F) {
	encoded, err := Encode(events(f, 1, 1)[0])
	require.NoError(f, err)
	f.Add([]byte(encoded.Payload))
	f.Add([]byte{})
	f.Add([]byte("not an event"))
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := Decode(message.NewMessage("", body))
		if err != nil {
			require.ErrorIs(t, err, ErrUndecodable)
			return
		}
		again, err := Encode(event)
		require.NoError(t, err)
		require.Equal(t, event, decode(t, again))
	})
}
