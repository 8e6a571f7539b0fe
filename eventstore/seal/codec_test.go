package seal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
)

// ring is a keyring in memory that counts its calls.
type ring struct {
	keys        map[string]seal.Key
	gets, makes int
	made        int
	err         error
}

func (r *ring) Get(_ context.Context, ids []string) (map[string]seal.Key, error) {
	r.gets++
	keys := map[string]seal.Key{}
	for _, id := range ids {
		key, ok := r.keys[id]
		if !ok {
			key = seal.Key{ID: id}
		}
		keys[id] = key
	}
	return keys, r.err
}

func (r *ring) Make(_ context.Context, n int) ([]seal.Key, error) {
	r.makes++
	r.made += n
	made := make([]seal.Key, n)
	for i := range made {
		bytes := make([]byte, seal.KeySize)
		_, _ = rand.Read(bytes)
		made[i] = seal.Key{ID: uuid.NewString(), State: seal.Alive, Bytes: seal.NewSecret(bytes)}
		r.keys[made[i].ID] = made[i]
	}
	return made, r.err
}

type bench struct {
	schema
	ring  *ring
	codec *seal.Codec
}

func newBench(t testing.TB) bench {
	keys, schema := &ring{keys: map[string]seal.Key{}}, newSchema(t)
	return bench{schema: schema, ring: keys, codec: seal.NewCodec(keys, keys, schema.types, nil)}
}

func draft(message proto.Message) eventstore.Draft {
	return eventstore.Draft{
		Event: &eventstore.Event{
			ID: uuid.Must(uuid.NewV7()), Log: "people", Stream: "user-1", Version: 1,
			OccurredAt: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC),
		},
		Message: message,
	}
}

func (b bench) encode(t testing.TB, drafts ...eventstore.Draft) []eventstore.Event {
	t.Helper()
	if err := b.codec.Encode(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	events := make([]eventstore.Event, len(drafts))
	for i, draft := range drafts {
		events[i] = *draft.Event
	}
	return events
}

func (b bench) decode(t testing.TB, events ...eventstore.Event) []eventstore.Opened {
	t.Helper()
	opened, err := b.codec.Decode(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func (b bench) joined(t testing.TB) proto.Message {
	return b.message(t, "Joined", map[string]any{
		"id": "1", "name": "Canary Ada", "notes": []string{"canary one", "canary two"}, "nick": "",
		"home":    b.message(t, "Address", map[string]any{"country": "NO", "street": "Canary Street"}),
		"sponsor": b.message(t, "Joined", map[string]any{"id": "2", "name": "Canary Bob"}),
	})
}

func TestWhatIsSealedComesBackWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, message := range map[string]proto.Message{
		"all kinds of fields": b.joined(t),
		"nothing filled in":   b.message(t, "Joined", nil),
		"only open fields":    b.message(t, "Joined", map[string]any{"id": "1"}),
		"an empty part":       b.message(t, "Joined", map[string]any{"home": b.message(t, "Address", nil)}),
		"a whole list": b.message(t, "ListedWhole", map[string]any{
			"addresses": b.message(t, "Address", map[string]any{"street": "Canary Street"}),
		}),
		"own key":              b.message(t, "PinChosen", map[string]any{"id": "1", "pin": "canary 1234"}),
		"nothing to be sealed": b.message(t, "Left", map[string]any{"id": "1"}),
	} {
		t.Run(name, func(t *testing.T) {
			before := proto.Clone(message)
			event := b.encode(t, draft(message))[0]
			if !proto.Equal(message, before) {
				t.Error("Encode has changed the message that it was given")
			}
			if opened := b.decode(t, event)[0]; !proto.Equal(opened.Message, message) {
				t.Errorf("got  %v\nwant %v", opened.Message, message)
			}
		})
	}
}

func TestPayloadHoldsNoSensitiveField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.joined(t)))[0]
	if got, want := string(event.Payload), `{"id":"1","home":{"country":"NO"},"sponsor":{"id":"2"}}`; got != want {
		t.Errorf("payload is\n%s, want\n%s", got, want)
	}
	if bytes.Contains(bytes.ToLower(event.Sealed), []byte("canary")) {
		t.Error("the sealed part is readable")
	}
	if event.Type != "test.Joined" || event.SchemaVersion != 1 {
		t.Errorf("type %q in version %d", event.Type, event.SchemaVersion)
	}
}

func TestSensitiveFieldsInsideListsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"Listed", "Wrapped"} {
		// Empty, since it is the type that is at fault.
		err := b.codec.Encode(t.Context(), []eventstore.Draft{draft(b.message(t, name, nil))})
		if err == nil || !strings.Contains(err.Error(), "test.Listed.addresses") {
			t.Errorf("%s: got %v, want an error that names the field", name, err)
		}
	}
	if b.ring.makes != 0 {
		t.Error("a key was made for nothing")
	}
}

func TestKeysOfANewStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	origin := &eventstore.Origin{Address: "192.0.2.7", UserAgent: "canary agent"}
	joined, pin := draft(b.joined(t)), draft(b.message(t, "PinChosen", map[string]any{"pin": "1"}))
	again, left := draft(b.joined(t)), draft(b.message(t, "Left", nil))
	joined.Origin, pin.Origin, left.Origin = origin, origin, origin
	events := b.encode(t, joined, pin, again, left)

	if b.ring.makes != 1 || b.ring.made != 2 || b.ring.gets != 0 {
		t.Errorf("made %d keys in %d calls after %d looks, want 2 in 1 after none", b.ring.made, b.ring.makes, b.ring.gets)
	}
	subject := events[0].KeyID
	if subject == "" || events[2].KeyID != subject {
		t.Error("the drafts of a call do not share the person's key")
	}
	if events[1].KeyID == subject || events[1].KeyID == "" {
		t.Error("the event of its own key has the person's")
	}
	for i, event := range []eventstore.Event{events[0], events[1], events[3]} {
		if event.MetadataKeyID != subject || len(event.MetadataSealed) == 0 {
			t.Errorf("event %d: the origin is not sealed under the person's key", i)
		}
	}
	if events[3].KeyID != "" || events[3].Sealed != nil {
		t.Error("an event without sensitive fields is sealed")
	}
	if events[2].MetadataKeyID != "" {
		t.Error("an event without origin has a key for it")
	}
	opened := b.decode(t, events...)
	if b.ring.gets != 1 {
		t.Errorf("a batch took %d looks into the keyring, want 1", b.ring.gets)
	}
	if !opened[0].Subject || opened[1].Subject || !opened[2].Subject || opened[3].Subject {
		t.Error("Subject is not as the sealing key of each type says")
	}
}

func TestKeysOfAKnownStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	subject, err := b.ring.Make(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	b.ring.makes = 0
	change := draft(b.joined(t))
	change.SubjectKey, change.ActorKey = subject[0].ID, subject[1].ID
	change.Origin = &eventstore.Origin{Address: "192.0.2.7"}
	event := b.encode(t, change)[0]
	if event.KeyID != subject[0].ID || event.MetadataKeyID != subject[1].ID {
		t.Error("not sealed under the keys of the person and of the actor")
	}
	if b.ring.makes != 0 || b.ring.gets != 1 {
		t.Errorf("%d makes and %d gets, want none and one", b.ring.makes, b.ring.gets)
	}
}

func TestNoKeyIsMadeForNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	left := draft(b.message(t, "Left", map[string]any{"id": "1"}))
	left.Origin = &eventstore.Origin{}
	event := b.encode(t, left)[0]
	if b.ring.makes != 0 || b.ring.gets != 0 {
		t.Error("the keyring was asked")
	}
	if event.KeyID != "" || event.MetadataKeyID != "" || event.MetadataSealed != nil {
		t.Error("sealed under nothing")
	}
}

func TestEncodeRefusesKeysThatAreGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ring.keys["gone"] = seal.Key{ID: "gone", State: seal.Destroyed}
	for id, want := range map[string]error{"gone": seal.ErrKeyDestroyed, "never": seal.ErrUnknownKey} {
		change := draft(b.joined(t))
		change.SubjectKey = id
		if err := b.codec.Encode(t.Context(), []eventstore.Draft{change}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", id, err, want)
		}
	}
	reader := seal.NewCodec(b.ring, nil, b.types, nil)
	if err := reader.Encode(t.Context(), []eventstore.Draft{draft(b.joined(t))}); err == nil {
		t.Error("a reader has encoded")
	}
}

func TestDestroyedKeyIsATombstone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	events := b.encode(t, draft(b.joined(t)), draft(b.message(t, "PinChosen", map[string]any{"id": "1", "pin": "1234"})))
	b.ring.keys[events[0].KeyID] = seal.Key{ID: events[0].KeyID, State: seal.Destroyed}
	opened := b.decode(t, events...)
	open := b.message(t, "Joined", map[string]any{
		"id":      "1",
		"home":    b.message(t, "Address", map[string]any{"country": "NO"}),
		"sponsor": b.message(t, "Joined", map[string]any{"id": "2"}),
	})
	if !opened[0].Erased || !opened[0].Subject || !proto.Equal(opened[0].Message, open) {
		t.Errorf("got %v, erased %v", opened[0].Message, opened[0].Erased)
	}
	if opened[1].Erased {
		t.Error("an event under another key is erased too")
	}
}

func TestUnknownKeyIsAFaultThatNamesTheEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.joined(t)))[0]
	delete(b.ring.keys, event.KeyID)
	_, err := b.codec.Decode(t.Context(), []eventstore.Event{event})
	if !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), event.ID.String()) {
		t.Errorf("got %v", err)
	}
}

func TestSealedPartOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	joined := draft(b.joined(t))
	joined.Origin = &eventstore.Origin{Address: "192.0.2.7"}
	sealed := b.encode(t, joined, draft(b.joined(t)))
	event, other := sealed[0], sealed[1]
	for name, move := range map[string]func(*eventstore.Event){
		"another event":          func(e *eventstore.Event) { e.ID = other.ID },
		"another event's part":   func(e *eventstore.Event) { e.Sealed = other.Sealed },
		"another stream":         func(e *eventstore.Event) { e.Stream = "user-2" },
		"another log":            func(e *eventstore.Event) { e.Log = "media" },
		"parts that run on":      func(e *eventstore.Event) { e.Log, e.Stream = "peopl", "euser-1" },
		"another type":           func(e *eventstore.Event) { e.Type = "test.Address" },
		"the origin as payload":  func(e *eventstore.Event) { e.Sealed = e.MetadataSealed },
		"cut short":              func(e *eventstore.Event) { e.Sealed = e.Sealed[:len(e.Sealed)-1] },
		"cut to nothing":         func(e *eventstore.Event) { e.Sealed = nil },
		"cut to the format byte": func(e *eventstore.Event) { e.Sealed = e.Sealed[:1] },
		"another format":         func(e *eventstore.Event) { e.Sealed = append([]byte{2}, e.Sealed[1:]...) },
		"a part without a key":   func(e *eventstore.Event) { e.KeyID = "" },
	} {
		moved := event
		move(&moved)
		if _, err := b.codec.Decode(t.Context(), []eventstore.Event{moved}); !errors.Is(err, seal.ErrTampered) {
			t.Errorf("%s: got %v, want ErrTampered", name, err)
		}
	}
	b.decode(t, event) // where it belongs it opens
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.joined(t)))[0]
	for bit := range len(event.Sealed) * 8 {
		flipped := event
		flipped.Sealed = slices.Clone(event.Sealed)
		flipped.Sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := b.codec.Decode(t.Context(), []eventstore.Event{flipped}); !errors.Is(err, seal.ErrTampered) {
			t.Fatalf("bit %d: got %v, want ErrTampered", bit, err)
		}
	}
}

func TestWrongKeyOpensNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.joined(t)))[0]
	other, err := b.ring.Make(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	b.ring.keys[event.KeyID] = seal.Key{ID: event.KeyID, State: seal.Alive, Bytes: other[0].Bytes}
	if _, err := b.codec.Decode(t.Context(), []eventstore.Event{event}); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("got %v, want ErrTampered", err)
	}
	b.ring.keys[event.KeyID] = seal.Key{ID: event.KeyID, State: seal.Alive, Bytes: seal.NewSecret(make([]byte, 16))}
	if _, err := b.codec.Decode(t.Context(), []eventstore.Event{event}); err == nil {
		t.Error("a short key was taken")
	}
}

func TestTwoSealsOfOneMessageDiffer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := draft(b.joined(t))
	first := b.encode(t, one)[0]
	one.SubjectKey = first.KeyID
	if second := b.encode(t, one)[0]; bytes.Equal(first.Sealed, second.Sealed) {
		t.Error("the same nonce was used twice")
	}
}

func TestNewerEventsAreReadAsFarAsTheyGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.message(t, "Left", map[string]any{"id": "1"})))[0]
	event.Payload = []byte(`{"id":"1","since":"tomorrow"}`)
	if opened := b.decode(t, event)[0]; !proto.Equal(opened.Message, b.message(t, "Left", map[string]any{"id": "1"})) {
		t.Errorf("got %v", opened.Message)
	}
	for name, change := range map[string]func(*eventstore.Event){
		"unknown type":           func(e *eventstore.Event) { e.Type = "test.Returned" },
		"unknown schema version": func(e *eventstore.Event) { e.SchemaVersion = 2 },
	} {
		newer := event
		change(&newer)
		if _, err := b.codec.Decode(t.Context(), []eventstore.Event{newer}); !errors.Is(err, seal.ErrUnknownType) {
			t.Errorf("%s: got %v, want ErrUnknownType", name, err)
		}
	}
}

func TestKeyringThatFailsIsNoTombstone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	event := b.encode(t, draft(b.joined(t)))[0]
	b.ring.err = errors.New("keyring is down")
	if _, err := b.codec.Decode(t.Context(), []eventstore.Event{event}); !errors.Is(err, b.ring.err) {
		t.Errorf("decode: got %v", err)
	}
	if err := b.codec.Encode(t.Context(), []eventstore.Draft{draft(b.joined(t))}); !errors.Is(err, b.ring.err) {
		t.Errorf("encode: got %v", err)
	}
}

// A page of the log is opened on all cores.
func TestManyEventsAreOpenedInTheirOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	drafts := make([]eventstore.Draft, 5000)
	for i := range drafts {
		drafts[i] = draft(b.message(t, "Joined", map[string]any{"id": strconv.Itoa(i), "name": "Canary " + strconv.Itoa(i)}))
		if i%3 == 0 {
			drafts[i] = draft(b.message(t, "Left", map[string]any{"id": strconv.Itoa(i)}))
		}
	}
	events := b.encode(t, drafts...)
	b.ring.gets = 0
	opened := b.decode(t, events...)
	if b.ring.gets != 1 {
		t.Errorf("it took %d looks into the keyring, want 1", b.ring.gets)
	}
	for i := range opened {
		if opened[i].ID != events[i].ID || !proto.Equal(opened[i].Message, drafts[i].Message) {
			t.Fatalf("place %d: got %v, want %v", i, opened[i].Message, drafts[i].Message)
		}
	}
	events[4000].Type, events[4900].Type, events[4999].Type = "test.Returned", "test.Returned", "test.Returned"
	if _, err := b.codec.Decode(t.Context(), events); !errors.Is(err, seal.ErrUnknownType) || !strings.Contains(err.Error(), events[4000].ID.String()) {
		t.Errorf("got %v, want the first event that fails", err)
	}
}

func FuzzDecode(f *testing.F) {
	b := newBench(f)
	joined := draft(b.joined(f))
	if err := b.codec.Encode(context.Background(), []eventstore.Draft{joined}); err != nil {
		f.Fatal(err)
	}
	event := *joined.Event
	f.Add(event.Sealed)
	f.Add([]byte{1})
	f.Add([]byte{2, 0, 0})
	f.Add(make([]byte, 29))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		forged := event
		forged.Sealed = sealed
		_, err := b.codec.Decode(t.Context(), []eventstore.Event{forged})
		if bytes.Equal(sealed, event.Sealed) {
			if err != nil {
				t.Errorf("its own sealed part does not open: %v", err)
			}
			return
		}
		if !errors.Is(err, seal.ErrTampered) {
			t.Errorf("got %v, want ErrTampered", err)
		}
	})
}

// What was not to be opened because the keyring did not answer is as good as before.
func TestAKeyringThatDoesNotAnswerIsAway(t *testing.T) {
	t.Parallel()
	down := errors.New("keyring is down")
	codec := seal.NewCodec(&ring{err: down}, nil, &protoregistry.Types{}, nil)
	_, err := codec.Decode(t.Context(), []eventstore.Event{{KeyID: "a"}})
	if !errors.Is(err, eventstore.ErrAway) || !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
