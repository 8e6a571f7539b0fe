package broker

import (
	"fmt"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// contentType of every body: see Encode.
const contentType = "application/x-protobuf"

// Marshaler turns Watermill's messages into AMQP's and back. Unlike
// watermill-amqp's own it takes any header: a quorum queue puts the integer
// x-delivery-count on each redelivered message, and lists of what it died of on
// dead letters.
type Marshaler struct{}

var _ wamqp.Marshaler = Marshaler{}

// Marshal makes a persistent publishing with the message's id. It never fails.
func (Marshaler) Marshal(of *message.Message) (amqp.Publishing, error) {
	headers := make(amqp.Table, len(of.Metadata))
	for key, value := range of.Metadata {
		headers[key] = value
	}
	return amqp.Publishing{
		MessageId:    of.UUID,
		ContentType:  contentType,
		DeliveryMode: amqp.Persistent,
		Headers:      headers,
		Body:         of.Payload,
	}, nil
}

// Unmarshal makes a message of a delivery. Headers that are numbers, truths or
// times become text; lists and tables are left out. It never fails.
func (Marshaler) Unmarshal(delivery amqp.Delivery) (*message.Message, error) {
	of := message.NewMessage(delivery.MessageId, delivery.Body)
	for key, value := range delivery.Headers {
		switch value := value.(type) {
		case nil, amqp.Table, []any:
		case []byte:
			of.Metadata[key] = string(value)
		default:
			of.Metadata[key] = fmt.Sprint(value)
		}
	}
	return of, nil
}
