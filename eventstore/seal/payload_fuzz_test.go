package seal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/panicking"
	_ "github.com/muster-id/muster/proto/gen/go/muster/eventlog/events/v1" // their types
	_ "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	_ "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

// eventTypes are all event messages that the program knows, in one order.
func eventTypes() []protoreflect.MessageType {
	var types []protoreflect.MessageType
	protoregistry.GlobalTypes.RangeMessages(func(message protoreflect.MessageType) bool {
		descriptor := message.Descriptor()
		_, nested := descriptor.Parent().(protoreflect.MessageDescriptor)
		if name := string(descriptor.FullName()); !nested && strings.HasPrefix(name, "muster.") && strings.Contains(name, ".events.") {
			types = append(types, message)
		}
		return true
	})
	slices.SortFunc(types, func(a, b protoreflect.MessageType) int {
		return strings.Compare(string(a.Descriptor().FullName()), string(b.Descriptor().FullName()))
	})
	return types
}

// oneKey is a keyring with one key, which it makes again and again.
type oneKey struct{ key Key }

func (k oneKey) Get(_ context.Context, ids []string) (map[string]Key, error) {
	keys := make(map[string]Key, len(ids))
	for _, id := range ids {
		keys[id] = Key{ID: id}
		if id == k.key.ID {
			keys[id] = k.key
		}
	}
	return keys, nil
}

func (k oneKey) Make(_ context.Context, n int) ([]Key, error) {
	return slices.Repeat([]Key{k.key}, n), nil
}

// Whatever stands in the log under the name of an event type, in whatever
// version, and whatever its sealed part says once it is opened: it is read or it
// is refused, and what was read is written and read again as the same.
func FuzzEventPayload(f *testing.F) {
	types := eventTypes()
	if len(types) < 15 {
		f.Fatalf("only %d event types are known", len(types))
	}
	for i, message := range types {
		f.Add(uint(i), int32(1), []byte(`{}`), []byte(nil))
		fields := message.Descriptor().Fields()
		for at := range fields.Len() {
			field := fields.Get(at)
			f.Add(uint(i), int32(1), []byte(`{"`+field.JSONName()+`":"1"}`), []byte(nil))
			f.Add(uint(i), int32(2), []byte(`{"`+field.JSONName()+`":[{}]}`), []byte{byte(field.Number())<<3 | 2, 1, '1'})
		}
	}
	f.Add(uint(0), int32(0), []byte(`null`), []byte{0xff})
	f.Add(uint(0), int32(1), []byte(`{"userId":"\ud800"}`), []byte{0x0a, 0x01, 0xff})
	f.Add(uint(0), int32(1), []byte(strings.Repeat(`{"a":`, 20_000)), []byte(nil))
	ring := oneKey{Key{ID: uuid.NewString(), State: Alive, Bytes: NewSecret(make([]byte, KeySize))}}
	codec := NewCodec(ring, ring, protoregistry.GlobalTypes, upcast.Step)
	f.Fuzz(func(t *testing.T, kind uint, version int32, payload, plain []byte) {
		event := eventstore.Event{
			ID: uuid.UUID{1}, Stream: "user-1", Version: 1, SchemaVersion: version,
			Type: string(types[kind%uint(len(types))].Descriptor().FullName()), Payload: payload,
		}
		if len(plain) > 0 {
			var err error
			if event.Sealed, err = lock(ring.key.Bytes, plain, place(&event, forPayload)); err != nil {
				t.Fatal(err)
			}
			event.KeyID = ring.key.ID
		}
		opened, err := codec.Decode(t.Context(), []eventstore.Event{event})
		if panicked := (*panicking.Error)(nil); errors.As(err, &panicked) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		again := event
		again.KeyID, again.Sealed = "", nil
		draft := eventstore.Draft{Event: &again, Message: opened[0].Message, SubjectKey: ring.key.ID}
		if err := codec.Encode(t.Context(), []eventstore.Draft{draft}); err != nil {
			t.Fatalf("%s was read and cannot be written: %v", payload, err)
		}
		same, err := codec.Decode(t.Context(), []eventstore.Event{again})
		if err != nil {
			t.Fatalf("%s was written as %s, which cannot be read: %v", payload, again.Payload, err)
		}
		if was := known(t, opened[0].Message); !proto.Equal(same[0].Message, was) {
			t.Errorf("%s was read as %v and then as %v", payload, was, same[0].Message)
		}
	})
}

// known is a message without the fields that this program does not know, which
// it does not write again: a newer one may have sealed them.
func known(t *testing.T, message proto.Message) proto.Message {
	t.Helper()
	text, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	left := message.ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, left); err != nil {
		t.Fatal(err)
	}
	return left
}
