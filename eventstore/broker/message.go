package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/ThreeDotsLabs/watermill/message"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// What travels beside the body, so that a reader may look before it decodes.
const (
	HeaderLog     = "log"
	HeaderEpoch   = "epoch"
	HeaderType    = "type"
	HeaderStream  = "stream"
	HeaderVersion = "version"
	HeaderShard   = "shard"
)

// ErrUndecodable means that the message is not an event. Nack it: the next time
// it will not be one either.
var ErrUndecodable = errors.New("message is not an event")

// Encode makes the message of an event. Its id is the event's id; its body is
// the binary form of muster.eventlog.v1.Event.
func Encode(event eventstore.Event) (*message.Message, error) {
	body, err := proto.Marshal(eventlog.ToProto(event))
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", event.ID, err)
	}
	encoded := message.NewMessage(event.ID.String(), body)
	encoded.Metadata = message.Metadata{
		HeaderLog:     event.Log,
		HeaderEpoch:   strconv.FormatInt(event.Epoch, 10),
		HeaderType:    event.Type,
		HeaderStream:  event.Stream,
		HeaderVersion: strconv.FormatInt(event.Version, 10),
		HeaderShard:   strconv.FormatInt(int64(event.Shard), 10),
	}
	return encoded, nil
}

// Decode reads the event of a message, from its body alone. The error is ErrUndecodable.
func Decode(encoded *message.Message) (eventstore.Event, error) {
	var body eventlogv1.Event
	if err := proto.Unmarshal(encoded.Payload, &body); err != nil {
		return eventstore.Event{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	event, err := eventlog.FromProto(&body)
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return event, nil
}

// RoutingKey is <context>.<aggregate>.<event>: for a
// muster.identity.events.v1.UserRegistered of the stream user-0192… it is
// identity.user.user_registered.
func RoutingKey(event eventstore.Event) string {
	context, _, _ := strings.Cut(strings.TrimPrefix(event.Type, "muster."), ".")
	aggregate, _, _ := strings.Cut(event.Stream, "-")
	name := event.Type[strings.LastIndexByte(event.Type, '.')+1:]
	return context + "." + aggregate + "." + snake(name)
}

// snake turns UserMFAEnabled into user_mfa_enabled.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			ends := !unicode.IsUpper(runes[i-1])
			starts := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if ends || starts {
				out.WriteByte('_')
			}
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
