package broker

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/platform/teststack"
)

// BenchmarkBroker carries pages of 500 events through a quorum queue, with this
// package and with bare amqp091 doing the same, which is the limit. One
// operation is one event; publishing and consuming run at the same time.
func BenchmarkBroker(b *testing.B) {
	const page = 500
	b.Run("broker", func(b *testing.B) {
		url := teststack.VirtualHost(b)
		declared(b, url, users)
		subscriber := NewSubscriber(connected(b, url), users)
		received, err := subscriber.Subscribe(b.Context(), users.Queue)
		require.NoError(b, err)
		defer subscriber.Close() //nolint:errcheck // it has no error
		publisher := NewPublisher(connected(b, url))
		batch := events(b, 10, page)
		b.ResetTimer()
		consumed := make(chan struct{})
		applied := make([]*message.Message, page)
		go func() {
			defer close(consumed)
			for range (b.N + page - 1) / page {
				for i := range applied {
					applied[i] = <-received
					if _, err := Decode(applied[i]); err != nil {
						b.Error(err)
					}
				}
				for _, committed := range applied {
					committed.Ack()
				}
			}
		}()
		for range (b.N + page - 1) / page {
			require.NoError(b, publisher.PublishBatch(b.Context(), batch))
		}
		<-consumed
	})
	b.Run("amqp091", func(b *testing.B) {
		url := teststack.VirtualHost(b)
		declared(b, url, users)
		consuming, publishing := raw(b, url), raw(b, url)
		require.NoError(b, consuming.Qos(prefetch, 0, false))
		deliveries, err := consuming.Consume(users.Queue, "", false, false, false, false, nil)
		require.NoError(b, err)
		require.NoError(b, publishing.Confirm(false))
		batch := make([]outgoing, page)
		for i, event := range events(b, 10, page) {
			encoded, err := Encode(event)
			require.NoError(b, err)
			batch[i], err = outbound(RoutingKey(event), encoded)
			require.NoError(b, err)
		}
		b.ResetTimer()
		consumed := make(chan struct{})
		go func() {
			defer close(consumed)
			for i := range (b.N + page - 1) / page * page {
				delivery := <-deliveries
				if (i+1)%page == 0 {
					if err := delivery.Ack(true); err != nil {
						b.Error(err)
					}
				}
			}
		}()
		confirms := make([]*amqp.DeferredConfirmation, page)
		for range (b.N + page - 1) / page {
			for i, out := range batch {
				confirms[i], err = publishing.PublishWithDeferredConfirm(Exchange, out.key, true, false, out.Publishing)
				require.NoError(b, err)
			}
			for _, confirm := range confirms {
				require.True(b, confirm.Wait())
			}
		}
		<-consumed
	})
}
