package seal

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/proto/upcast"
)

// Whatever stands in the log: it can be looked at, and what nobody is shown is
// not shown, nor what is sensitive to whoever did not ask for it.
func FuzzReveal(f *testing.F) {
	types := eventTypes()
	for i, message := range types {
		f.Add(uint(i), []byte(`{}`), []byte(nil), []byte(nil))
		fields := message.Descriptor().Fields()
		for at := range fields.Len() {
			field := fields.Get(at)
			f.Add(uint(i), []byte(`{"`+field.JSONName()+`":"1","`+string(field.Name())+`":{}}`), []byte{byte(field.Number())<<3 | 2, 1, '1'}, []byte(`{"address":"::1"}`))
		}
	}
	f.Add(uint(0), []byte(`[`), []byte{0xff}, []byte(`null`))
	ring := oneKey{Key{ID: uuid.NewString(), State: Alive, Bytes: NewSecret(make([]byte, KeySize))}}
	codec := NewCodec(ring, ring, protoregistry.GlobalTypes, upcast.Step)
	f.Fuzz(func(t *testing.T, kind uint, payload, plain, origin []byte) {
		fields := types[kind%uint(len(types))].Descriptor()
		event := eventstore.Event{
			ID: uuid.UUID{1}, Stream: "user-1", Version: 1, SchemaVersion: 1, Type: string(fields.FullName()),
			Payload: payload, KeyID: ring.key.ID, MetadataKeyID: ring.key.ID,
		}
		var err error
		if event.Sealed, err = lock(ring.key.Bytes, plain, place(&event, forPayload)); err != nil {
			t.Fatal(err)
		}
		if event.MetadataSealed, err = lock(ring.key.Bytes, origin, place(&event, forMetadata)); err != nil {
			t.Fatal(err)
		}
		for _, sealed := range []bool{false, true} {
			revealed, err := codec.Reveal(t.Context(), []eventstore.Event{event}, sealed)
			if err != nil || len(revealed) != 1 {
				t.Fatalf("%d events, %v", len(revealed), err)
			}
			told := revealed[0]
			if _, err := json.Marshal(told.Data); err != nil {
				t.Fatalf("%v cannot be shown: %v", told.Data, err)
			}
			if !sealed && (told.Personal || told.Origin != nil) {
				t.Fatalf("what was not asked for is shown: %+v", told)
			}
			for at := range fields.Fields().Len() {
				field := fields.Fields().Get(at)
				_, shown := told.Data[field.JSONName()]
				_, spelt := told.Data[string(field.Name())]
				if isSensitive(field) && (shown || spelt) && (!sealed || isUnshown(field)) {
					t.Fatalf("%s is shown: %v", field.Name(), told.Data)
				}
			}
			if strings.Contains(told.Note, string(plain)) && len(plain) > 8 {
				t.Fatalf("the note quotes what is sealed: %q", told.Note)
			}
		}
	})
}
