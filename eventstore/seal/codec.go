package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/panicking"
)

var (
	// ErrUnknownKey: the keyring has never heard of the key that an event is
	// sealed under. Not a tombstone: the event has to wait for its key.
	ErrUnknownKey = errors.New("key is not in the keyring")
	// ErrKeyDestroyed: the person whose key is needed to seal has been erased.
	ErrKeyDestroyed = errors.New("key was destroyed")
	// ErrUnknownType: the event's type or schema version is newer than this program.
	ErrUnknownType = errors.New("event type is not known")
)

// Upcasters finds the pure function that makes, of a payload in a schema version
// of an event type, the payload in the next one; nil where there is none. Muster's
// is upcast.Step.
type Upcasters func(eventType string, version int32) func(payload map[string]any) (map[string]any, error)

// Codec implements eventstore.Codec with the sealing rules of the protos.
type Codec struct {
	keys      Keys
	maker     Maker
	types     *protoregistry.Types
	upcasters Upcasters
	shapes    sync.Map // protoreflect.FullName → shape
}

var _ eventstore.Codec = (*Codec)(nil)

// NewCodec makes a codec for the event types in a registry, which reads their
// former shapes with the upcasters; nil where there are none. maker is nil for a
// reader, which can only decode.
func NewCodec(keys Keys, maker Maker, types *protoregistry.Types, upcasters Upcasters) *Codec {
	return &Codec{keys: keys, maker: maker, types: types, upcasters: upcasters}
}

// Known tells whether this program knows an event type, in whatever version.
func (c *Codec) Known(eventType string) bool {
	_, err := c.types.FindMessageByName(protoreflect.FullName(eventType))
	return err == nil
}

// Encode fills in the drafts' events; see eventstore.Codec. A message type that
// cannot be sealed is an error, as is a subject whose key was destroyed
// (ErrKeyDestroyed) or is not in the keyring (ErrUnknownKey).
func (c *Codec) Encode(ctx context.Context, drafts []eventstore.Draft) error {
	if err := c.encode(ctx, drafts); err != nil {
		return fmt.Errorf("seal events: %w", err)
	}
	return nil
}

func (c *Codec) encode(ctx context.Context, drafts []eventstore.Draft) error {
	ring, err := c.keysFor(ctx, drafts)
	if err != nil {
		return err
	}
	for _, draft := range drafts {
		if err := c.encodeOne(draft, ring); err != nil {
			return fmt.Errorf("%s: %w", draft.Message.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	return nil
}

// encodeRing holds the keys of one call to Encode.
type encodeRing struct {
	known map[string]Key // by id
	fresh Key            // of a subject that had none
	own   []Key          // for events with a key of their own, in order
}

// keysFor fetches the keys that exist and makes those that do not, each in one call.
func (c *Codec) keysFor(ctx context.Context, drafts []eventstore.Draft) (*encodeRing, error) {
	var wanted []string
	own, fresh := 0, 0
	for _, draft := range drafts {
		shape := c.shape(draft.Message.ProtoReflect().Descriptor())
		if shape.fault != nil {
			return nil, shape.fault
		}
		if shape.sensitive && shape.ownKey {
			own++
		}
		sealsOrigin := hasOrigin(draft)
		if sealsOrigin && draft.ActorKey != "" {
			wanted = append(wanted, draft.ActorKey)
		}
		if shape.sensitive && !shape.ownKey || sealsOrigin && draft.ActorKey == "" {
			if draft.SubjectKey == "" {
				fresh = 1
			} else {
				wanted = append(wanted, draft.SubjectKey)
			}
		}
	}
	ring := &encodeRing{}
	if len(wanted) > 0 {
		known, err := c.keys.Get(ctx, wanted)
		if err != nil {
			return nil, fmt.Errorf("get keys: %w", err)
		}
		ring.known = known
	}
	if own+fresh == 0 {
		return ring, nil
	}
	if c.maker == nil {
		return nil, errors.New("this codec only reads: it has nothing to make keys with")
	}
	made, err := c.maker.Make(ctx, own+fresh)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if len(made) != own+fresh {
		return nil, fmt.Errorf("make keys: got %d, not %d", len(made), own+fresh)
	}
	if fresh > 0 {
		ring.fresh = made[0]
	}
	ring.own = made[fresh:]
	return ring, nil
}

func (c *Codec) encodeOne(draft eventstore.Draft, ring *encodeRing) error {
	event := draft.Event
	shape := c.shape(draft.Message.ProtoReflect().Descriptor())
	// Type goes into the associated data, so it comes first.
	event.Type = eventstore.TypeOf(draft.Message)
	event.SchemaVersion = shape.version
	open, hidden := split(draft.Message)
	payload, err := protojson.MarshalOptions{Resolver: c.types}.Marshal(open)
	if err != nil {
		return fmt.Errorf("marshal payload: %w", err)
	}
	// protojson varies its spaces on purpose; the log should not.
	var compact bytes.Buffer
	if err := json.Compact(&compact, payload); err != nil {
		return fmt.Errorf("marshal payload: %w", err)
	}
	event.Payload = compact.Bytes()
	if shape.sensitive {
		key, err := ring.payload(draft, shape.ownKey)
		if err != nil {
			return err
		}
		plain, err := proto.Marshal(hidden)
		if err != nil {
			return fmt.Errorf("marshal sensitive fields: %w", err)
		}
		event.KeyID = key.ID
		if event.Sealed, err = lock(key.Bytes, plain, place(event, forPayload)); err != nil {
			return err
		}
	}
	if hasOrigin(draft) {
		key, err := ring.actor(draft)
		if err != nil {
			return err
		}
		plain, err := json.Marshal(draft.Origin)
		if err != nil {
			return fmt.Errorf("marshal origin: %w", err)
		}
		event.MetadataKeyID = key.ID
		if event.MetadataSealed, err = lock(key.Bytes, plain, place(event, forMetadata)); err != nil {
			return err
		}
	}
	return nil
}

func hasOrigin(draft eventstore.Draft) bool {
	return draft.Origin != nil && *draft.Origin != eventstore.Origin{}
}

func (r *encodeRing) payload(draft eventstore.Draft, ownKey bool) (Key, error) {
	if !ownKey {
		return r.subject(draft)
	}
	key := r.own[0]
	r.own = r.own[1:]
	return key, nil
}

func (r *encodeRing) subject(draft eventstore.Draft) (Key, error) {
	if draft.SubjectKey == "" {
		return r.fresh, nil
	}
	return r.existing(draft.SubjectKey)
}

func (r *encodeRing) actor(draft eventstore.Draft) (Key, error) {
	if draft.ActorKey == "" {
		return r.subject(draft)
	}
	return r.existing(draft.ActorKey)
}

func (r *encodeRing) existing(id string) (Key, error) {
	key := r.known[id]
	switch key.State {
	case Alive:
		return key, nil
	case Destroyed:
		return Key{}, fmt.Errorf("key %s: %w", id, ErrKeyDestroyed)
	default:
		return Key{}, fmt.Errorf("key %s: %w", id, ErrUnknownKey)
	}
}

// decodeShare is how many events are worth a goroutine of their own.
const decodeShare = 256

// Decode opens events, on all cores where there are many; see eventstore.Codec.
// Errors name the event: ErrUnknownKey, ErrTampered, ErrUnknownType. Origins stay
// sealed: no aggregate and no projection needs them.
func (c *Codec) Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	keys, err := c.keysOf(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("open events: get keys: %w: %w", eventstore.ErrAway, err)
	}
	opened := make([]eventstore.Opened, len(events))
	shares := min(runtime.GOMAXPROCS(0), len(events)/decodeShare)
	if shares <= 1 {
		if err := c.decodeAll(events, keys, opened); err != nil {
			return nil, err
		}
		return opened, nil
	}
	failed := make([]error, shares)
	var working sync.WaitGroup
	for i := range shares {
		from, to := i*len(events)/shares, (i+1)*len(events)/shares
		working.Go(func() { failed[i] = c.decodeAll(events[from:to], keys, opened[from:to]) })
	}
	working.Wait()
	for _, err := range failed { // the first event's that failed
		if err != nil {
			return nil, err
		}
	}
	return opened, nil
}

// keysOf gets the keys of events, all in one call.
func (c *Codec) keysOf(ctx context.Context, events []eventstore.Event) (map[string]Key, error) {
	var ids []string
	asked := make(map[string]struct{}, len(events))
	for i := range events {
		id := events[i].KeyID
		if _, known := asked[id]; known || id == "" {
			continue
		}
		asked[id] = struct{}{}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return c.keys.Get(ctx, ids)
}

// decodeAll opens events into as many places, up to the first that fails.
func (c *Codec) decodeAll(events []eventstore.Event, keys map[string]Key, into []eventstore.Opened) error {
	kinds := map[string]kind{} // there are few, and to look one up takes locks
	for i := range events {
		event := &events[i]
		k, known := kinds[event.Type]
		if !known {
			var err error
			if k, err = c.kind(event.Type); err != nil {
				return fmt.Errorf("open event %s: %w", event.ID, err)
			}
			kinds[event.Type] = k
		}
		into[i].Event = *event
		if err := c.decodeOne(event, k, keys, &into[i]); err != nil {
			return fmt.Errorf("open event %s: %w", event.ID, err)
		}
	}
	return nil
}

// kind is an event type that this program knows.
type kind struct {
	message protoreflect.MessageType
	shape   shape
}

func (c *Codec) kind(eventType string) (kind, error) {
	message, err := c.types.FindMessageByName(protoreflect.FullName(eventType))
	if err != nil {
		return kind{}, fmt.Errorf("%w: %s", ErrUnknownType, eventType)
	}
	return kind{message: message, shape: c.shape(message.Descriptor())}, nil
}

func (c *Codec) decodeOne(event *eventstore.Event, of kind, keys map[string]Key, opened *eventstore.Opened) (err error) {
	defer panicking.Caught(&err)
	payload, err := c.upcast(event, of.shape.version)
	if err != nil {
		return err
	}
	opened.Message = of.message.New().Interface()
	// A newer program may have written fields that this one does not know.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, Resolver: c.types}).Unmarshal(payload, opened.Message); err != nil {
		return fmt.Errorf("unmarshal payload: %w", err)
	}
	if (len(event.Sealed) == 0) != (event.KeyID == "") {
		return fmt.Errorf("%w: a key without a sealed part, or the reverse", ErrTampered)
	}
	if event.KeyID == "" {
		return nil
	}
	opened.Subject = !of.shape.ownKey
	key := keys[event.KeyID]
	switch key.State {
	case Alive:
	case Destroyed:
		opened.Erased = true
		return nil
	default:
		return fmt.Errorf("key %s: %w", event.KeyID, ErrUnknownKey)
	}
	plain, err := unlock(key.Bytes, event.Sealed, place(event, forPayload))
	if err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{Merge: true, Resolver: c.types}).Unmarshal(plain, opened.Message); err != nil {
		return fmt.Errorf("unmarshal sensitive fields: %w", err)
	}
	return nil
}

// upcast is the payload in the present version. Of the sealed part nothing has to
// be changed: it is protobuf, whose field numbers keep their meaning.
func (c *Codec) upcast(event *eventstore.Event, present int32) ([]byte, error) {
	version := event.SchemaVersion
	if version == present {
		return event.Payload, nil
	}
	if version < 1 || version > present {
		return nil, fmt.Errorf("%w: %s in version %d", ErrUnknownType, event.Type, version)
	}
	// As json.Number, a number stays as it is, however many digits it has.
	decoder := json.NewDecoder(bytes.NewReader(event.Payload))
	decoder.UseNumber()
	var payload map[string]any
	if err := decoder.Decode(&payload); err != nil {
		return nil, fmt.Errorf("read payload of version %d: %w", version, err)
	}
	if _, err := decoder.Token(); payload == nil || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read payload of version %d: it is not one object", version)
	}
	for ; version < present; version++ {
		step := c.step(event.Type, version)
		if step == nil {
			return nil, fmt.Errorf("upcast %s: there is no way on from version %d", event.Type, version)
		}
		var err error
		if payload, err = step(payload); err != nil {
			return nil, fmt.Errorf("upcast %s from version %d: %w", event.Type, version, err)
		}
	}
	return json.Marshal(payload)
}

func (c *Codec) step(eventType string, version int32) func(map[string]any) (map[string]any, error) {
	if c.upcasters == nil {
		return nil
	}
	return c.upcasters(eventType, version)
}

// shape remembers what a type's options say: reading them costs more than sealing.
func (c *Codec) shape(message protoreflect.MessageDescriptor) shape {
	if known, ok := c.shapes.Load(message.FullName()); ok {
		return known.(shape) //nolint:forcetypeassert // only shapes are stored
	}
	found := shapeOf(message)
	c.shapes.Store(message.FullName(), found)
	return found
}
