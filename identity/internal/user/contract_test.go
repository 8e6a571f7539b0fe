package user_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// open lists the texts that events hold in clear, and why they may.
var open = map[protoreflect.Name]string{
	"user_id": "a random id, which says nothing of the person",
	"roles":   "what an account may do is the operator's, and replays have to see it",
}

func TestEveryTextOfAnEventIsSensitiveOrHasAReason(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.Name]bool{}
	messages := 0
	var walk func(protoreflect.MessageDescriptor)
	walk = func(message protoreflect.MessageDescriptor) {
		messages++
		for i := range message.Fields().Len() {
			field := message.Fields().Get(i)
			if sensitive, _ := proto.GetExtension(field.Options(), optionsv1.E_Sensitive).(bool); sensitive {
				continue
			}
			switch field.Kind() {
			case protoreflect.StringKind, protoreflect.BytesKind:
				if open[field.Name()] == "" {
					t.Errorf("%s is neither sensitive nor on the list", field.FullName())
				}
				seen[field.Name()] = true
			case protoreflect.MessageKind:
				walk(field.Message())
			}
		}
	}
	events := eventsv1.File_muster_identity_events_v1_user_proto.Package()
	protoregistry.GlobalFiles.RangeFilesByPackage(events, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			walk(file.Messages().Get(i))
		}
		return true
	})
	if messages < 5 {
		t.Errorf("only %d messages were walked", messages)
	}
	for name := range open {
		if !seen[name] {
			t.Errorf("%s is on the list, and no event has it", name)
		}
	}
}
