package seal_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

var errNoTown = errors.New("nobody moves to nowhere")

// former are the shapes that Moved had: in version 1, `to` was called `town`, and
// in version 2, `metres` were `feet`, of which there are no halves here.
func former(eventType string, version int32) func(map[string]any) (map[string]any, error) {
	if eventType != "test.Moved" {
		return nil
	}
	switch version {
	case 1:
		return func(v1 map[string]any) (map[string]any, error) {
			if v1["town"] == "" {
				return nil, errNoTown
			}
			return renamed(v1, "town", "to"), nil
		}
	case 2:
		return func(v2 map[string]any) (map[string]any, error) { return renamed(v2, "feet", "metres"), nil }
	}
	return nil
}

func renamed(payload map[string]any, from, to string) map[string]any {
	after := maps.Clone(payload)
	if value, ok := after[from]; ok {
		after[to] = value
		delete(after, from)
	}
	return after
}

// moved is an event in version 3, and its message.
func (b bench) moved(t testing.TB) (eventstore.Event, proto.Message) {
	message := b.message(t, "Moved", map[string]any{"id": "1", "to": "Oslo", "metres": int64(1<<53 + 1), "street": "Canary Street"})
	return b.encode(t, draft(message))[0], message
}

func newVersionsBench(t testing.TB, upcasters seal.Upcasters) bench {
	b := newBench(t)
	b.codec = seal.NewCodec(b.ring, b.ring, b.types, upcasters)
	return b
}

func TestEventsAreWrittenInTheVersionOfTheProto(t *testing.T) {
	t.Parallel()
	b := newVersionsBench(t, former)
	event, message := b.moved(t)
	if event.SchemaVersion != 3 {
		t.Errorf("version %d, want 3", event.SchemaVersion)
	}
	if opened := b.decode(t, event)[0]; !proto.Equal(opened.Message, message) {
		t.Errorf("got %v, want %v", opened.Message, message)
	}
}

// The sealed part is the same in all versions, and numbers keep all their digits.
func TestFormerVersionsAreReadAsTodays(t *testing.T) {
	t.Parallel()
	b := newVersionsBench(t, former)
	event, message := b.moved(t)
	for version, payload := range map[int32]string{
		1: `{"id":"1","town":"Oslo","feet":"9007199254740993"}`,
		2: `{"id":"1","to":"Oslo","feet":9007199254740993,"since":"a field that is gone"}`,
	} {
		older := event
		older.SchemaVersion, older.Payload = version, []byte(payload)
		opened := b.decode(t, older)[0]
		if !proto.Equal(opened.Message, message) {
			t.Errorf("version %d is read as %v, want %v", version, opened.Message, message)
		}
		if string(opened.Payload) != payload || opened.SchemaVersion != version {
			t.Errorf("version %d: the event itself was changed", version)
		}
	}
}

func TestTombstonesOfFormerVersionsAreTombstones(t *testing.T) {
	t.Parallel()
	b := newVersionsBench(t, former)
	event, _ := b.moved(t)
	event.SchemaVersion, event.Payload = 1, []byte(`{"id":"1","town":"Oslo"}`)
	b.ring.keys[event.KeyID] = seal.Key{ID: event.KeyID, State: seal.Destroyed}
	opened := b.decode(t, event)[0]
	if want := b.message(t, "Moved", map[string]any{"id": "1", "to": "Oslo"}); !opened.Erased || !proto.Equal(opened.Message, want) {
		t.Errorf("got %v, erased %v", opened.Message, opened.Erased)
	}
}

func TestVersionsThatCannotBeReadAreFaultsThatNameTheEvent(t *testing.T) {
	t.Parallel()
	b := newVersionsBench(t, former)
	event, _ := b.moved(t)
	gap := func(eventType string, version int32) func(map[string]any) (map[string]any, error) {
		if version == 2 {
			return nil
		}
		return former(eventType, version)
	}
	panics := func(string, int32) func(map[string]any) (map[string]any, error) {
		return func(payload map[string]any) (map[string]any, error) { panic(payload) }
	}
	for name, c := range map[string]struct {
		upcasters seal.Upcasters
		version   int32
		payload   string
		want      error // nil for any but ErrUnknownType
	}{
		"newer than the program":  {former, 4, `{}`, seal.ErrUnknownType},
		"of no version":           {former, 0, `{}`, seal.ErrUnknownType},
		"before all versions":     {former, -1, `{}`, seal.ErrUnknownType},
		"without upcasters":       {nil, 2, `{}`, nil},
		"without a step":          {gap, 1, `{}`, nil},
		"refused by a step":       {former, 1, `{"town":""}`, errNoTown},
		"a step to another type":  {former, 1, `{"town":7}`, nil},
		"a step that panics":      {panics, 1, `{"town":"Oslo"}`, nil},
		"nothing":                 {former, 1, ``, nil},
		"no object":               {former, 1, `null`, nil},
		"a list":                  {former, 1, `[]`, nil},
		"two objects":             {former, 1, `{} {}`, nil},
		"an object and something": {former, 1, `{}]`, nil},
	} {
		b.codec = seal.NewCodec(b.ring, nil, b.types, c.upcasters)
		strange := event
		strange.SchemaVersion, strange.Payload = c.version, []byte(c.payload)
		_, err := b.codec.Decode(t.Context(), []eventstore.Event{strange})
		if err == nil || !strings.Contains(err.Error(), event.ID.String()) {
			t.Errorf("%s: %v, want an error that names the event", name, err)
		}
		if !errors.Is(err, c.want) && c.want != nil || errors.Is(err, seal.ErrUnknownType) != errors.Is(c.want, seal.ErrUnknownType) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCodecTellsWhichTypesItKnows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for eventType, want := range map[string]bool{"test.Moved": true, "test.Returned": false, "": false, "no type": false} {
		if got := b.codec.Known(eventType); got != want {
			t.Errorf("%q is known: %v, want %v", eventType, got, want)
		}
	}
}

func FuzzFormerPasswordSet(f *testing.F) {
	for _, payload := range []string{
		`{"userId":"1"}`, `{"userId":"1","mustChange":true}`, `{"mustChange":false}`, `{"mustChange":"yes"}`, `{"mustChange":{}}`, `{"mustChange":[true]}`,
		`{"must_change":true}`, `{"kind":1}`, `{"kind":"PASSWORD_KIND_CHOSEN","kind":7}`, `null`, `[]`, `{`, `{"userId":1e999}`, `{"\ud800":1}`,
	} {
		f.Add([]byte(payload))
	}
	codec := seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step)
	f.Fuzz(func(t *testing.T, payload []byte) {
		event := eventstore.Event{Type: "muster.identity.events.v1.PasswordSet", SchemaVersion: 1, Payload: payload}
		opened, err := codec.Decode(context.Background(), []eventstore.Event{event})
		if err != nil {
			return
		}
		set, ok := opened[0].Message.(*identityeventsv1.PasswordSet)
		if !ok || set.GetKind() == identityeventsv1.PasswordKind_PASSWORD_KIND_UNSPECIFIED {
			t.Errorf("%s is read as %v", payload, opened[0].Message)
		}
	})
}
