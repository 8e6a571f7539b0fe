package upcast_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

func TestPayloadsOfFormerVersionsBecomeTodaysMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version int32
		payload string
		want    proto.Message
	}{
		{1, `{"userId":"1","mustChange":true}`, &identityeventsv1.PasswordSet{UserId: "1", Kind: identityeventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME}},
		{1, `{"userId":"1","mustChange":false}`, &identityeventsv1.PasswordSet{UserId: "1", Kind: identityeventsv1.PasswordKind_PASSWORD_KIND_CHOSEN}},
		{1, `{"userId":"1"}`, &identityeventsv1.PasswordSet{UserId: "1", Kind: identityeventsv1.PasswordKind_PASSWORD_KIND_CHOSEN}},
	} {
		var payload map[string]any
		if err := json.Unmarshal([]byte(c.payload), &payload); err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(payload)
		after, err := upcast.Step(string(c.want.ProtoReflect().Descriptor().FullName()), c.version)(payload)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(payload, before) {
			t.Errorf("%s was changed into %v", c.payload, payload)
		}
		text, err := json.Marshal(after)
		if err != nil {
			t.Fatal(err)
		}
		got := c.want.ProtoReflect().New().Interface()
		// Strictly: what an upcaster leaves behind would be read as nothing.
		if err := protojson.Unmarshal(text, got); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s is read as %v, %v; want %v", c.payload, got, err, c.want)
		}
	}
}

func TestPayloadThatNobodyCanHaveWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for _, strange := range []any{"yes", 1.0, []any{true}, map[string]any{}} {
		if got, err := upcast.Step("muster.identity.events.v1.PasswordSet", 1)(map[string]any{"mustChange": strange}); err == nil {
			t.Errorf("%v was read as %v", strange, got)
		}
	}
}

func TestNoStepFromWhereThereIsNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		eventType string
		version   int32
	}{{"muster.identity.events.v1.PasswordSet", 0}, {"muster.identity.events.v1.PasswordSet", 2}, {"muster.identity.events.v1.Newer", 1}, {"", 1}} {
		if upcast.Step(c.eventType, c.version) != nil {
			t.Errorf("there is a step from version %d of %q", c.version, c.eventType)
		}
	}
}
