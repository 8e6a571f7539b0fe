package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// metadata is that of the last event: events of one command stand side by side
// and have the same, and as JSON it takes longer than all the rest of an event.
type metadata struct {
	text []byte
	read eventstore.Metadata
}

func (m *metadata) marshal(read eventstore.Metadata) []byte {
	if m.text == nil || m.read != read {
		text, _ := json.Marshal(read) // five strings: never fails
		m.text, m.read = text, read
	}
	return m.text
}

func (m *metadata) unmarshal(text []byte) (eventstore.Metadata, error) {
	if m.text == nil || !bytes.Equal(m.text, text) {
		var read eventstore.Metadata
		if err := json.Unmarshal(text, &read); err != nil {
			return read, err
		}
		m.text, m.read = text, read
	}
	return m.read, nil
}

// ToProto is the event as other services see it.
func ToProto(event eventstore.Event) *eventlogv1.Event { return toProto(&event, &metadata{}) }

func toProtos(events []eventstore.Event) []*eventlogv1.Event {
	protos := make([]*eventlogv1.Event, len(events))
	var like metadata
	for i := range events {
		protos[i] = toProto(&events[i], &like)
	}
	return protos
}

func toProto(event *eventstore.Event, like *metadata) *eventlogv1.Event {
	return &eventlogv1.Event{
		Id:             event.ID.String(),
		Log:            event.Log,
		Epoch:          event.Epoch,
		Stream:         event.Stream,
		Version:        event.Version,
		Shard:          event.Shard,
		Type:           event.Type,
		SchemaVersion:  event.SchemaVersion,
		OccurredAt:     timestamppb.New(event.OccurredAt),
		Payload:        event.Payload,
		Sealed:         event.Sealed,
		KeyId:          event.KeyID,
		Metadata:       like.marshal(event.Metadata),
		MetadataSealed: event.MetadataSealed,
		MetadataKeyId:  event.MetadataKeyID,
	}
}

// FromProto is the reverse of ToProto. It refuses what no log has recorded.
func FromProto(event *eventlogv1.Event) (eventstore.Event, error) {
	return fromProto(event, &metadata{})
}

func fromProtos(protos []*eventlogv1.Event) ([]eventstore.Event, error) {
	events := make([]eventstore.Event, len(protos))
	var like metadata
	for i, event := range protos {
		var err error
		if events[i], err = fromProto(event, &like); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func fromProto(event *eventlogv1.Event, like *metadata) (eventstore.Event, error) {
	id, err := uuid.Parse(event.GetId())
	if err != nil {
		return eventstore.Event{}, errors.New("event: its id is not a UUID")
	}
	if event.GetStream() == "" || event.GetVersion() < 1 || event.GetType() == "" {
		return eventstore.Event{}, fmt.Errorf("event %s: it has no stream, version or type", id)
	}
	if err := event.GetOccurredAt().CheckValid(); err != nil {
		return eventstore.Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	var read eventstore.Metadata
	if text := event.GetMetadata(); len(text) > 0 {
		if read, err = like.unmarshal(text); err != nil {
			return eventstore.Event{}, fmt.Errorf("event %s: its metadata: %w", id, err)
		}
	}
	return eventstore.Event{
		ID:             id,
		Log:            event.GetLog(),
		Epoch:          event.GetEpoch(),
		Stream:         event.GetStream(),
		Version:        event.GetVersion(),
		Shard:          event.GetShard(),
		Type:           event.GetType(),
		SchemaVersion:  event.GetSchemaVersion(),
		OccurredAt:     event.GetOccurredAt().AsTime(),
		Payload:        event.GetPayload(),
		Sealed:         event.GetSealed(),
		KeyID:          event.GetKeyId(),
		Metadata:       read,
		MetadataSealed: event.GetMetadataSealed(),
		MetadataKeyID:  event.GetMetadataKeyId(),
	}, nil
}
