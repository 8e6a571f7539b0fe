package seal

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// shape is what the options of a message type say.
type shape struct {
	// sensitive: it has sensitive fields, so its events are always sealed, also
	// when the fields happen to be empty.
	sensitive bool
	// ownKey: it is sealed under a key of the event's own.
	ownKey bool
	// version of the schema that the message has today.
	version int32
	// fault: it cannot be sealed.
	fault error
}

func shapeOf(message protoreflect.MessageDescriptor) shape {
	key, _ := proto.GetExtension(message.Options(), optionsv1.E_SealingKey).(optionsv1.SealingKey)
	version, _ := proto.GetExtension(message.Options(), optionsv1.E_SchemaVersion).(int32)
	return shape{
		version:   max(version, 1),
		sensitive: holdsSensitive(message, map[protoreflect.FullName]bool{}),
		ownKey:    key == optionsv1.SealingKey_SEALING_KEY_EVENT,
		fault:     sealable(message, map[protoreflect.FullName]bool{}),
	}
}

// sealable refuses sensitive fields inside the elements of a list or a map: once
// they are taken out, nothing says which element they came from.
func sealable(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) error {
	if seen[message.FullName()] {
		return nil
	}
	seen[message.FullName()] = true
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if isSensitive(field) || field.Message() == nil {
			continue
		}
		if field.Cardinality() == protoreflect.Repeated {
			if holdsSensitive(field.Message(), map[protoreflect.FullName]bool{}) {
				return fmt.Errorf("%s is repeated and has sensitive fields inside: mark the field itself sensitive", field.FullName())
			}
			continue
		}
		if err := sealable(field.Message(), seen); err != nil {
			return err
		}
	}
	return nil
}

func holdsSensitive(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[message.FullName()] {
		return false
	}
	seen[message.FullName()] = true
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if isSensitive(field) || field.Message() != nil && holdsSensitive(field.Message(), seen) {
			return true
		}
	}
	return false
}

func isSensitive(field protoreflect.FieldDescriptor) bool {
	sensitive, _ := proto.GetExtension(field.Options(), optionsv1.E_Sensitive).(bool)
	return sensitive
}

// split gives a copy of the message without its sensitive fields, and a message
// of the same type with only those. Merging the two gives the message back.
func split(message proto.Message) (open, hidden proto.Message) {
	open = proto.Clone(message)
	taken := message.ProtoReflect().New()
	move(open.ProtoReflect(), taken)
	return open, taken.Interface()
}

// move takes the sensitive fields out of one message into another of the same
// type, and tells whether there were any.
func move(from, to protoreflect.Message) bool {
	moved := false
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case isSensitive(field):
			to.Set(field, value)
			from.Clear(field)
			moved = true
		case field.Message() != nil && field.Cardinality() != protoreflect.Repeated:
			inner := to.NewField(field)
			if move(from.Mutable(field).Message(), inner.Message()) {
				to.Set(field, inner)
				moved = true
			}
		}
		return true
	})
	return moved
}
