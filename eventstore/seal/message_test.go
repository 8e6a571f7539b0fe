package seal_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// schema is a file of event messages as protoc would have made it from
//
//	message Joined { string id = 1; string name = 2 [sensitive]; repeated string notes = 3 [sensitive];
//	                 optional string nick = 4 [sensitive]; Address home = 5; Joined sponsor = 6; }
//	message Address { string country = 1; string street = 2 [sensitive]; }
//	message PinChosen { option sealing_key = SEALING_KEY_EVENT; string id = 1; string pin = 2 [sensitive]; }
//	message Left { string id = 1; }
//	message Listed { repeated Address addresses = 1; }
//	message Wrapped { Listed listed = 1; }
//	message ListedWhole { repeated Address addresses = 1 [sensitive]; }
//	message Moved { option schema_version = 3; string id = 1; string to = 2; int64 metres = 3;
//	                string street = 4 [sensitive]; }
type schema struct {
	types *protoregistry.Types
}

func newSchema(t testing.TB) schema {
	t.Helper()
	text, message := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	one, many := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	field := func(name string, number int32, label descriptorpb.FieldDescriptorProto_Label, kind descriptorpb.FieldDescriptorProto_Type, of string, sensitive bool) *descriptorpb.FieldDescriptorProto {
		made := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: &label, Type: &kind}
		if of != "" {
			made.TypeName = proto.String(".test." + of)
		}
		if sensitive {
			made.Options = &descriptorpb.FieldOptions{}
			proto.SetExtension(made.Options, optionsv1.E_Sensitive, true)
		}
		return made
	}
	nick := field("nick", 4, one, text, "", true)
	nick.Proto3Optional, nick.OneofIndex = proto.Bool(true), proto.Int32(0)
	ownKey := &descriptorpb.MessageOptions{}
	proto.SetExtension(ownKey, optionsv1.E_SealingKey, optionsv1.SealingKey_SEALING_KEY_EVENT)
	third := &descriptorpb.MessageOptions{}
	proto.SetExtension(third, optionsv1.E_SchemaVersion, int32(3))

	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{
				Name: proto.String("Joined"),
				Field: []*descriptorpb.FieldDescriptorProto{
					field("id", 1, one, text, "", false),
					field("name", 2, one, text, "", true),
					field("notes", 3, many, text, "", true),
					nick,
					field("home", 5, one, message, "Address", false),
					field("sponsor", 6, one, message, "Joined", false),
				},
				OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: proto.String("_nick")}},
			},
			{Name: proto.String("Address"), Field: []*descriptorpb.FieldDescriptorProto{
				field("country", 1, one, text, "", false), field("street", 2, one, text, "", true),
			}},
			{Name: proto.String("PinChosen"), Options: ownKey, Field: []*descriptorpb.FieldDescriptorProto{
				field("id", 1, one, text, "", false), field("pin", 2, one, text, "", true),
			}},
			{Name: proto.String("Left"), Field: []*descriptorpb.FieldDescriptorProto{field("id", 1, one, text, "", false)}},
			{Name: proto.String("Listed"), Field: []*descriptorpb.FieldDescriptorProto{field("addresses", 1, many, message, "Address", false)}},
			{Name: proto.String("Wrapped"), Field: []*descriptorpb.FieldDescriptorProto{field("listed", 1, one, message, "Listed", false)}},
			{Name: proto.String("ListedWhole"), Field: []*descriptorpb.FieldDescriptorProto{field("addresses", 1, many, message, "Address", true)}},
			{Name: proto.String("Moved"), Options: third, Field: []*descriptorpb.FieldDescriptorProto{
				field("id", 1, one, text, "", false), field("to", 2, one, text, "", false),
				field("metres", 3, one, descriptorpb.FieldDescriptorProto_TYPE_INT64, "", false), field("street", 4, one, text, "", true),
			}},
		},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	types := &protoregistry.Types{}
	for i := range file.Messages().Len() {
		if err := types.RegisterMessage(dynamicpb.NewMessageType(file.Messages().Get(i))); err != nil {
			t.Fatal(err)
		}
	}
	return schema{types}
}

// message makes a message of a type from values by field: a string, a []string,
// an int64, or a message.
func (s schema) message(t testing.TB, name string, values map[string]any) proto.Message {
	t.Helper()
	kind, err := s.types.FindMessageByName(protoreflect.FullName("test." + name))
	if err != nil {
		t.Fatal(err)
	}
	made := kind.New()
	for field, value := range values {
		descriptor := kind.Descriptor().Fields().ByName(protoreflect.Name(field))
		switch value := value.(type) {
		case string:
			made.Set(descriptor, protoreflect.ValueOfString(value))
		case int64:
			made.Set(descriptor, protoreflect.ValueOfInt64(value))
		case []string:
			list := made.Mutable(descriptor).List()
			for _, element := range value {
				list.Append(protoreflect.ValueOfString(element))
			}
		case proto.Message:
			if descriptor.IsList() {
				made.Mutable(descriptor).List().Append(protoreflect.ValueOfMessage(value.ProtoReflect()))
			} else {
				made.Set(descriptor, protoreflect.ValueOfMessage(value.ProtoReflect()))
			}
		}
	}
	return made.Interface()
}
