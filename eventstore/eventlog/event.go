package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// ToProto is the event as other services see it.
func ToProto(event eventstore.Event) *eventlogv1.Event {
	metadata, _ := json.Marshal(event.Metadata) // five strings: never fails
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
		Metadata:       metadata,
		MetadataSealed: event.MetadataSealed,
		MetadataKeyId:  event.MetadataKeyID,
	}
}

// FromProto is the reverse of ToProto. It refuses what no log has recorded.
func FromProto(event *eventlogv1.Event) (eventstore.Event, error) {
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
	var metadata eventstore.Metadata
	if text := event.GetMetadata(); len(text) > 0 {
		if err := json.Unmarshal(text, &metadata); err != nil {
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
		Metadata:       metadata,
		MetadataSealed: event.GetMetadataSealed(),
		MetadataKeyID:  event.GetMetadataKeyId(),
	}, nil
}
