package eventstore

import (
	"hash/fnv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
)

// Event is one recorded fact of one stream: the envelope around a protobuf
// message whose sensitive fields are sealed. It is safe to send and to store,
// but not to log: the payload may be large.
type Event struct {
	// ID is a UUIDv7, unique in the log, and the id of the broker's message.
	ID uuid.UUID
	// Log names the log, for example "identity".
	Log string
	// Epoch is the log's incarnation, greater than that of any former one; set by
	// the log.
	Epoch int64
	// Stream is the aggregate's name, for example "user-0192…".
	Stream string
	// Version is the place in the stream, from 1, without gaps.
	Version int64
	// Shard is ShardOf(Stream).
	Shard int32
	// Type is the full name of the protobuf message.
	Type string
	// SchemaVersion counts the type's incompatible shapes, from 1.
	SchemaVersion int32
	// OccurredAt is when the command was decided, in UTC.
	OccurredAt time.Time
	// Payload is the message without its sensitive fields, as proto3 JSON.
	Payload []byte
	// Sealed holds the sensitive fields; nil when there are none.
	Sealed []byte
	// KeyID names the key that opens Sealed; empty when there is nothing to open.
	KeyID string
	// Metadata says who did it, in which request.
	Metadata Metadata
	// MetadataSealed holds the Origin; nil when it is unknown.
	MetadataSealed []byte
	// MetadataKeyID names the key of the actor, which opens MetadataSealed.
	MetadataKeyID string
}

// TypeOf is the Type of events that carry such a message.
func TypeOf(message proto.Message) string { return string(proto.MessageName(message)) }

// Metadata travels in clear with each event, so it holds opaque ids only.
type Metadata struct {
	// Actor is who did it: "user-<id>" or "service-<name>".
	Actor string `json:"actor,omitempty"`
	// OnBehalfOf is for whom, when that is somebody else.
	OnBehalfOf string `json:"onBehalfOf,omitempty"`
	// RequestID is the id that the client was shown.
	RequestID string `json:"requestId,omitempty"`
	// TraceParent is the W3C trace context of the request.
	TraceParent string `json:"traceparent,omitempty"`
	// Causation is the id of the event that led to this one.
	Causation string `json:"causation,omitempty"`
}

// Origin is where a command came from. It is personal, so it is sealed under
// the actor's key.
type Origin struct {
	// Address is the client's IP address.
	Address string `json:"address,omitempty"`
	// UserAgent is the client's own description, cut to 256 bytes.
	UserAgent string `json:"userAgent,omitempty"`
}

// Opened is an event with its message, sensitive fields included.
type Opened struct {
	Event
	// Message is the event's message; where Erased is true, without the fields
	// that were sealed.
	Message proto.Message
	// Subject is true when the event is sealed under the key of the person that
	// the stream is about, false when under a key of its own or not at all.
	Subject bool
	// Erased is true when the key was destroyed: a tombstone, not a fault.
	Erased bool
}

// Shards is the number of shards that streams are spread over.
const Shards = 256

// ShardOf spreads streams over the shards, by FNV-1a.
func ShardOf(stream string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stream)) // never fails
	return int32(h.Sum32() % Shards)
}
