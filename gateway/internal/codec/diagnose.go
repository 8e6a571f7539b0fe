package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errMalformed is for a body that is not one JSON object.
var errMalformed = errors.New("the body is not one JSON object")

// diagnose finds the first field at fault in a body that did not parse. Only
// names from the body are kept, never values.
func diagnose(data []byte, of protoreflect.MessageType, path string) error {
	in := json.NewDecoder(bytes.NewReader(data))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return errMalformed
	}
	seen := make(map[protoreflect.FieldNumber]bool)
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return errMalformed
		}
		name, _ := key.(string) // the key of an object is always one
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return errMalformed
		}
		field := fieldOf(of.Descriptor().Fields(), name)
		switch {
		case field == nil:
			return fmt.Errorf("unknown field %q", path+nameable(name))
		case seen[field.Number()]:
			return fmt.Errorf("duplicate field %q", path+field.JSONName())
		}
		seen[field.Number()] = true
		if err := check(value, of, field, path); err != nil {
			return err
		}
	}
	return errMalformed
}

// fieldOf knows both spellings that proto3 JSON allows; nil if there is no such field.
func fieldOf(fields protoreflect.FieldDescriptors, name string) protoreflect.FieldDescriptor {
	if field := fields.ByJSONName(name); field != nil {
		return field
	}
	return fields.ByTextName(name)
}

// check reads one field alone.
func check(value json.RawMessage, of protoreflect.MessageType, field protoreflect.FieldDescriptor, path string) error {
	alone, err := json.Marshal(map[string]json.RawMessage{field.JSONName(): value})
	if err != nil {
		return errMalformed
	}
	message := of.New()
	if protojson.Unmarshal(alone, message.Interface()) == nil {
		return nil
	}
	at := path + field.JSONName()
	nested := field.Message()
	if nested != nil && field.Cardinality() != protoreflect.Repeated &&
		nested.FullName().Parent() != "google.protobuf" && len(value) > 0 && value[0] == '{' {
		return diagnose(value, message.NewField(field).Message().Type(), at+".")
	}
	return fmt.Errorf("invalid value for %s field %s: wrong type", field.Kind(), at)
}

// nameable gives a field's name if it looks like one: what a client calls a
// field is told to it and logged, so it must not carry anything else.
func nameable(name string) string {
	if len(name) > 64 {
		return ""
	}
	for _, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return name
}
