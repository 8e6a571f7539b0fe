package upcast_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/muster-id/muster/proto/gen/go/muster/eventlog/events/v1" // their types
	_ "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	_ "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

// former is a type of which there is a former version.
type former struct {
	message protoreflect.MessageType
	version int32
}

func formers() (all []former) {
	protoregistry.GlobalTypes.RangeMessages(func(message protoreflect.MessageType) bool {
		for version := int32(1); upcast.Step(string(message.Descriptor().FullName()), version) != nil; version++ {
			all = append(all, former{message, version})
		}
		return true
	})
	slices.SortFunc(all, func(a, b former) int {
		return strings.Compare(string(a.message.Descriptor().FullName()), string(b.message.Descriptor().FullName()))
	})
	return all
}

// Whatever stands in the log as a payload of a former version: its step refuses
// it or makes an object of it, the same each time, and leaves it as it is. Of a
// payload that today's message could be read from, it makes one too.
func FuzzStep(f *testing.F) {
	all := formers()
	if len(all) == 0 {
		f.Fatal("no former version is known")
	}
	for i, former := range all {
		f.Add(uint(i), []byte(`{}`))
		fields := former.message.Descriptor().Fields()
		for at := range fields.Len() {
			for _, value := range []string{`true`, `"1"`, `1`, `null`, `[{}]`, `{}`} {
				f.Add(uint(i), []byte(`{"`+fields.Get(at).JSONName()+`":`+value+`}`))
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint, payload []byte) {
		of := all[kind%uint(len(all))]
		read := func() (object map[string]any) {
			decoder := json.NewDecoder(bytes.NewReader(payload))
			decoder.UseNumber()
			if decoder.Decode(&object) != nil {
				return nil
			}
			return object
		}
		before := read()
		if before == nil {
			return
		}
		step := upcast.Step(string(of.message.Descriptor().FullName()), of.version)
		given := read()
		after, err := step(given)
		if !reflect.DeepEqual(given, before) {
			t.Fatalf("%s was changed into %v", payload, given)
		}
		again, errAgain := step(read())
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(after, again) {
			t.Fatalf("%s becomes %v, %v and then %v, %v", payload, after, err, again, errAgain)
		}
		if err != nil {
			return
		}
		text, err := json.Marshal(after)
		if err != nil {
			t.Fatalf("%s becomes %v: %v", payload, after, err)
		}
		today := protojson.UnmarshalOptions{DiscardUnknown: true}
		if was := of.message.New().Interface(); today.Unmarshal(payload, was) != nil {
			return // nobody can have written it
		}
		if is := of.message.New().Interface(); today.Unmarshal(text, is) != nil {
			t.Fatalf("%s becomes %s, which cannot be read", payload, text)
		}
	})
}
