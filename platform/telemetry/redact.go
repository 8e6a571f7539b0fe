package telemetry

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-id/muster/platform/secret"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// redacted is a message for the log, as proto3 JSON.
func redacted(message proto.Message) any {
	if !message.ProtoReflect().IsValid() { // a nil pointer
		return nil
	}
	message = proto.Clone(message)
	hide(message.ProtoReflect())
	text, err := protojson.Marshal(message)
	if err != nil {
		return secret.Redacted
	}
	return json.RawMessage(text)
}

// hide takes the sensitive fields out of a message and of those in it, and
// packed messages whole. Unknown fields have no place in JSON.
func hide(message protoreflect.Message) {
	packed := message.Descriptor().FullName() == "google.protobuf.Any"
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		sensitive, _ := proto.GetExtension(field.Options(), optionsv1.E_Sensitive).(bool)
		switch {
		case sensitive && field.Kind() == protoreflect.StringKind && field.Cardinality() != protoreflect.Repeated:
			message.Set(field, protoreflect.ValueOfString(secret.Redacted))
		case sensitive, packed:
			message.Clear(field)
		case field.IsMap():
			if field.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, inner protoreflect.Value) bool {
					hide(inner.Message())
					return true
				})
			}
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				hide(value.List().Get(i).Message())
			}
		default:
			hide(value.Message())
		}
		return true
	})
}
