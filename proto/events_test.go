package proto_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	_ "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	"github.com/muster-id/muster/proto/upcast"
)

// open lists the texts that events hold in clear, and why they may.
var open = map[protoreflect.Name]string{
	"user_id":      "a random id, which says nothing of the person",
	"owner_id":     "as user_id",
	"file_id":      "a random id, which says nothing of the file",
	"avatar_id":    "a random id, which says nothing of the picture",
	"roles":        "what an account may do is the operator's, and replays have to see it",
	"key_ids":      "random ids of keys, which have to be found without a key",
	"content_type": "a media type without parameters, which the object is served with",
}

// events are the messages of all packages muster.<context>.events.v<n>.
func events(t *testing.T) []protoreflect.MessageDescriptor {
	t.Helper()
	var messages []protoreflect.MessageDescriptor
	contexts := map[protoreflect.FullName]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if parts := strings.Split(string(file.Package()), "."); len(parts) == 4 && parts[0] == "muster" && parts[2] == "events" {
			contexts[file.Package()] = true
			for i := range file.Messages().Len() {
				messages = append(messages, file.Messages().Get(i))
			}
		}
		return true
	})
	if len(contexts) < 2 || len(messages) < 15 {
		t.Fatalf("only %d messages of %d packages were found", len(messages), len(contexts))
	}
	return messages
}

func sensitive(field protoreflect.FieldDescriptor) bool {
	sensitive, _ := proto.GetExtension(field.Options(), optionsv1.E_Sensitive).(bool)
	return sensitive
}

// walk visits the fields of a message and of all messages inside it.
func walk(message protoreflect.MessageDescriptor, visit func(protoreflect.FieldDescriptor)) {
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		visit(field)
		if field.Message() != nil && !sensitive(field) {
			walk(field.Message(), visit)
		}
	}
}

func TestEveryTextOfAnEventIsSensitiveOrHasAReason(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.Name]bool{}
	for _, message := range events(t) {
		walk(message, func(field protoreflect.FieldDescriptor) {
			if kind := field.Kind(); sensitive(field) || kind != protoreflect.StringKind && kind != protoreflect.BytesKind {
				return
			}
			if open[field.Name()] == "" {
				t.Errorf("%s is neither sensitive nor on the list", field.FullName())
			}
			seen[field.Name()] = true
		})
	}
	for name := range open {
		if !seen[name] {
			t.Errorf("%s is on the list, and no event has it", name)
		}
	}
}

// Under whose key an event is sealed decides what can be forgotten of it.
func TestEveryEventThatIsSealedSaysUnderWhoseKey(t *testing.T) {
	t.Parallel()
	for _, message := range events(t) {
		sealed := false
		walk(message, func(field protoreflect.FieldDescriptor) { sealed = sealed || sensitive(field) })
		key, _ := proto.GetExtension(message.Options(), optionsv1.E_SealingKey).(optionsv1.SealingKey)
		if said := key != optionsv1.SealingKey_SEALING_KEY_UNSPECIFIED; said != sealed {
			t.Errorf("%s has sensitive fields: %v, names a key: %v", message.FullName(), sealed, said)
		}
	}
}

// A log that cannot be read any more would be noticed by its operators only.
func TestEveryFormerVersionOfAnEventHasAnUpcaster(t *testing.T) {
	t.Parallel()
	for _, message := range events(t) {
		present, _ := proto.GetExtension(message.Options(), optionsv1.E_SchemaVersion).(int32)
		if present = max(present, 1); upcast.Step(string(message.FullName()), present) != nil {
			t.Errorf("%s has an upcaster from version %d, which is the present one", message.FullName(), present)
		}
		for version := range present {
			if version > 0 && upcast.Step(string(message.FullName()), version) == nil {
				t.Errorf("%s has no upcaster from version %d", message.FullName(), version)
			}
		}
	}
}
