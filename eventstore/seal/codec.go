package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
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

// schemaVersion is the only one that there is of any type so far.
const schemaVersion = 1

// Codec implements eventstore.Codec with the sealing rules of the protos.
type Codec struct {
	keys   Keys
	maker  Maker
	types  *protoregistry.Types
	shapes sync.Map // protoreflect.FullName → shape
}

var _ eventstore.Codec = (*Codec)(nil)

// NewCodec makes a codec for the event types in a registry. maker is nil for a
// reader, which can only decode.
func NewCodec(keys Keys, maker Maker, types *protoregistry.Types) *Codec {
	return &Codec{keys: keys, maker: maker, types: types}
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
	event.Type = string(draft.Message.ProtoReflect().Descriptor().FullName())
	event.SchemaVersion = schemaVersion
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

// Decode opens events; see eventstore.Codec. Errors name the event: ErrUnknownKey,
// ErrTampered, ErrUnknownType. Origins stay sealed: no aggregate and no
// projection needs them.
func (c *Codec) Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	var ids []string
	asked := map[string]bool{}
	for _, event := range events {
		if event.KeyID != "" && !asked[event.KeyID] {
			asked[event.KeyID] = true
			ids = append(ids, event.KeyID)
		}
	}
	var keys map[string]Key
	if len(ids) > 0 {
		var err error
		if keys, err = c.keys.Get(ctx, ids); err != nil {
			return nil, fmt.Errorf("open events: get keys: %w", err)
		}
	}
	opened := make([]eventstore.Opened, len(events))
	for i := range events {
		one, err := c.decodeOne(&events[i], keys)
		if err != nil {
			return nil, fmt.Errorf("open event %s: %w", events[i].ID, err)
		}
		opened[i] = one
	}
	return opened, nil
}

func (c *Codec) decodeOne(event *eventstore.Event, keys map[string]Key) (eventstore.Opened, error) {
	opened := eventstore.Opened{Event: *event}
	kind, err := c.types.FindMessageByName(protoreflect.FullName(event.Type))
	if err != nil {
		return opened, fmt.Errorf("%w: %s", ErrUnknownType, event.Type)
	}
	if event.SchemaVersion != schemaVersion {
		return opened, fmt.Errorf("%w: %s in version %d", ErrUnknownType, event.Type, event.SchemaVersion)
	}
	message := kind.New().Interface()
	// A newer program may have written fields that this one does not know.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, Resolver: c.types}).Unmarshal(event.Payload, message); err != nil {
		return opened, fmt.Errorf("unmarshal payload: %w", err)
	}
	opened.Message = message
	if (len(event.Sealed) == 0) != (event.KeyID == "") {
		return opened, fmt.Errorf("%w: a key without a sealed part, or the reverse", ErrTampered)
	}
	if event.KeyID == "" {
		return opened, nil
	}
	opened.Subject = !c.shape(kind.Descriptor()).ownKey
	key := keys[event.KeyID]
	switch key.State {
	case Alive:
	case Destroyed:
		opened.Erased = true
		return opened, nil
	default:
		return opened, fmt.Errorf("key %s: %w", event.KeyID, ErrUnknownKey)
	}
	plain, err := unlock(key.Bytes, event.Sealed, place(event, forPayload))
	if err != nil {
		return opened, err
	}
	if err := (proto.UnmarshalOptions{Merge: true, Resolver: c.types}).Unmarshal(plain, message); err != nil {
		return opened, fmt.Errorf("unmarshal sensitive fields: %w", err)
	}
	return opened, nil
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
