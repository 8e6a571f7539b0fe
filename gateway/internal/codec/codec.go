package codec

import (
	"bytes"
	"encoding/json"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Options replaces Connect's JSON codecs by ours.
func Options() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{name: "json"}),
		// Connect holds the type with a charset for a codec of its own: leaving
		// it out would leave a lenient door open.
		connect.WithCodec(strictJSON{name: "json; charset=utf-8"}),
	)
}

// strictJSON is proto3 JSON that refuses what it does not know.
type strictJSON struct{ name string }

var _ connect.Codec = strictJSON{}

// Name is the part of the content type after `application/`.
func (c strictJSON) Name() string { return c.name }

// Marshal writes zero values too: to somebody with curl, `"signInReady":false`
// says more than its absence.
func (c strictJSON) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("codec: %T is not a protobuf message", message)
	}
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	// protojson varies its spaces from build to build on purpose.
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("compact %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return compact.Bytes(), nil
}

// Unmarshal reads a message. Its error names the field at fault where there is
// one, in protojson's words, and never repeats a value.
func (c strictJSON) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("codec: %T is not a protobuf message", message)
	}
	if err := (protojson.UnmarshalOptions{}).Unmarshal(data, m); err != nil {
		// That error quotes the value, which may be a password: the place is
		// looked for again.
		return diagnose(data, m.ProtoReflect().Type(), "")
	}
	return nil
}
