package serve

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON refuses unknown fields, which Connect's own codec drops: somebody
// who writes `pasword` learns it from the answer.
func strictJSON() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	)
}

type jsonCodec struct{ name string }

var (
	_ connect.Codec = jsonCodec{}

	errNotProto = errors.New("not a protobuf message")
	errEmpty    = errors.New("the body is empty, not a JSON object")
)

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) IsBinary() bool { return false }

func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c jsonCodec) MarshalAppend(to []byte, message any) ([]byte, error) {
	typed, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("marshal %T: %w", message, errNotProto)
	}
	return protojson.MarshalOptions{}.MarshalAppend(to, typed)
}

// Unmarshal fails with protojson's own words, which reason.Unreadable reads.
func (c jsonCodec) Unmarshal(text []byte, message any) error {
	typed, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("unmarshal %T: %w", message, errNotProto)
	}
	if len(text) == 0 {
		return errEmpty
	}
	return protojson.Unmarshal(text, typed)
}
