package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/panicking"
)

// unshown are sensitive fields that no person is ever shown, in no circumstances:
// with a verifier, a password can be guessed at leisure, elsewhere. Nor is a field
// of bytes: keys are such.
var unshown = map[protoreflect.Name]bool{"verifier": true}

// deepest bounds the names of a message that holds itself.
const deepest = 8

func isUnshown(field protoreflect.FieldDescriptor) bool {
	return unshown[field.Name()] || field.Kind() == protoreflect.BytesKind
}

// Revealed is an event as a person may look at it: as far as it can be opened, and
// never with what nobody is shown.
type Revealed struct {
	// Data is the payload as it was recorded, in the schema version of that time,
	// with its sensitive fields where they were asked for.
	Data map[string]any
	// Withheld are the sensitive fields that Data is without, in JSON spelling.
	Withheld []string
	// Origin is where it came from; nil where it is unknown, or was not asked for,
	// or its key was destroyed.
	Origin *eventstore.Origin
	// Personal tells that Data or Origin has something of what was sealed.
	Personal bool
	// Erased is true when the key of the sealed part was destroyed.
	Erased bool
	// Note says why it could not be opened, where it should have been.
	Note string
}

// Reveal looks at events, with what is sealed in them or without. What cannot be
// opened is told as far as it can: it fails for no event, and only with the
// keyring, as eventstore.ErrAway, where what is sealed is asked for.
func (c *Codec) Reveal(ctx context.Context, events []eventstore.Event, sealed bool) ([]Revealed, error) {
	wanted := make([]string, 0, len(events))
	for _, event := range events {
		if event.KeyID != "" {
			wanted = append(wanted, event.KeyID)
		}
		if sealed && event.MetadataKeyID != "" {
			wanted = append(wanted, event.MetadataKeyID)
		}
	}
	var keys map[string]Key
	if len(wanted) > 0 {
		var err error
		if keys, err = c.keys.Get(ctx, distinct(wanted)); err != nil {
			return nil, fmt.Errorf("look at events: get keys: %w: %w", eventstore.ErrAway, err)
		}
	}
	revealed := make([]Revealed, len(events))
	for i := range events {
		revealed[i] = c.reveal(&events[i], keys, sealed)
	}
	return revealed, nil
}

func distinct(ids []string) []string {
	seen, kept := make(map[string]bool, len(ids)), ids[:0]
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			kept = append(kept, id)
		}
	}
	return kept
}

func (c *Codec) reveal(event *eventstore.Event, keys map[string]Key, sealed bool) Revealed {
	told := Revealed{Erased: keys[event.KeyID].State == Destroyed}
	of, err := c.kind(event.Type)
	if err != nil {
		// Nobody can tell which of its fields are sensitive, but what its writer has
		// left in clear.
		told.Note = "the type is not known here: only what is in clear is shown"
		told.Data = object(event.Payload)
		return told
	}
	told.Data = object(event.Payload)
	fields := of.message.Descriptor()
	take(told.Data, fields) // what became sensitive after it was written
	if event.KeyID != "" {
		opened := false
		if sealed && !told.Erased {
			if opened, err = c.unseal(event, of, keys[event.KeyID], told.Data); err != nil {
				told.Note = noteOf(err)
			}
		}
		told.Personal = opened
		told.Withheld = names(fields, "", opened)
	}
	if sealed && len(event.MetadataSealed) > 0 && keys[event.MetadataKeyID].State == Alive {
		var origin eventstore.Origin
		plain, err := unlock(keys[event.MetadataKeyID].Bytes, event.MetadataSealed, place(event, forMetadata))
		if err == nil {
			err = json.Unmarshal(plain, &origin)
		}
		if err != nil {
			told.Note = "where it came from cannot be opened"
			return told
		}
		told.Origin, told.Personal = &origin, true
	}
	return told
}

// noteOf words a failure without its text, which may quote what was read.
func noteOf(err error) string {
	switch {
	case errors.Is(err, ErrUnknownKey):
		return "what is sealed cannot be opened: its key is not in the keyring"
	case errors.Is(err, ErrTampered):
		return "what is sealed cannot be opened: it does not belong to this event"
	}
	return "what is sealed cannot be opened"
}

// unseal puts the sealed fields that may be shown into data, and tells whether
// there are such.
func (c *Codec) unseal(event *eventstore.Event, of kind, key Key, data map[string]any) (shown bool, err error) {
	defer panicking.Caught(&err)
	if !showable(of.message.Descriptor()) {
		return false, nil // it need not even be opened
	}
	if key.State != Alive {
		return false, ErrUnknownKey
	}
	plain, err := unlock(key.Bytes, event.Sealed, place(event, forPayload))
	if err != nil {
		return false, err
	}
	hidden := of.message.New()
	if err := (proto.UnmarshalOptions{Resolver: c.types}).Unmarshal(plain, hidden.Interface()); err != nil {
		return false, fmt.Errorf("unmarshal sensitive fields: %w", err)
	}
	clearUnshown(hidden)
	text, err := protojson.MarshalOptions{Resolver: c.types}.Marshal(hidden.Interface())
	if err != nil {
		return false, fmt.Errorf("marshal sensitive fields: %w", err)
	}
	merge(data, object(text))
	return true, nil
}

// object reads a JSON object; an empty one where it is none.
func object(text []byte) map[string]any {
	data := map[string]any{}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&data) != nil || data == nil {
		return map[string]any{}
	}
	return data
}

// merge puts one object into another, also inside of objects that both have.
func merge(into, from map[string]any) {
	for name, value := range from {
		inner, both := into[name].(map[string]any)
		if more, ok := value.(map[string]any); ok && both {
			merge(inner, more)
			continue
		}
		into[name] = value
	}
}

// take removes the sensitive fields of a message from its JSON, in either of the
// two spellings that protobuf reads.
func take(data map[string]any, fields protoreflect.MessageDescriptor) {
	for i := range fields.Fields().Len() {
		field := fields.Fields().Get(i)
		if isSensitive(field) {
			spelt := func(name string, _ any) bool { return name == field.JSONName() || name == string(field.Name()) }
			maps.DeleteFunc(data, spelt)
			continue
		}
		if inner, ok := data[field.JSONName()].(map[string]any); ok && field.Message() != nil && !field.IsMap() {
			take(inner, field.Message())
		}
	}
}

// names are the sensitive fields of a message; those alone that are not shown to
// anybody, where the others are shown.
func names(message protoreflect.MessageDescriptor, before string, shown bool) []string {
	var found []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		name := before + field.JSONName()
		switch {
		case isSensitive(field):
			if !shown || isUnshown(field) {
				found = append(found, name)
			}
		case field.Message() != nil && field.Cardinality() != protoreflect.Repeated && strings.Count(name, ".") < deepest:
			found = append(found, names(field.Message(), name+".", shown)...)
		}
	}
	return found
}

// showable tells whether a message has a sensitive field that may be shown.
func showable(message protoreflect.MessageDescriptor) bool {
	return len(names(message, "", false)) > len(names(message, "", true))
}

// clearUnshown takes out what nobody is shown, at any depth.
func clearUnshown(message protoreflect.Message) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case isUnshown(field):
			message.Clear(field)
		case field.IsMap():
			if field.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, item protoreflect.Value) bool {
					clearUnshown(item.Message())
					return true
				})
			}
		case field.Message() != nil && field.IsList():
			for i := range value.List().Len() {
				clearUnshown(value.List().Get(i).Message())
			}
		case field.Message() != nil:
			clearUnshown(value.Message())
		}
		return true
	})
}
