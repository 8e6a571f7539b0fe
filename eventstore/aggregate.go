package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore/backoff"
)

// Aggregate is the state of one stream, folded from its events.
type Aggregate interface {
	// Apply folds one event in. It cannot fail: what is recorded has happened.
	Apply(event Opened)
}

// Codec turns decided messages into events and recorded events into messages.
type Codec interface {
	// Encode fills Type, SchemaVersion, Payload, Sealed and KeyID of each draft's
	// event, and MetadataSealed and MetadataKeyID where an origin is given. It
	// makes the keys that are missing, all in one call.
	Encode(ctx context.Context, drafts []Draft) error
	// Decode opens events, fetching all their keys in one call.
	Decode(ctx context.Context, events []Event) ([]Opened, error)
}

// Draft is an event about to be sealed. ID, Log, Stream and OccurredAt of the
// event are set; they go into the seal's associated data.
type Draft struct {
	// Event is filled by the codec.
	Event *Event
	// Message is what was decided.
	Message proto.Message
	// SubjectKey is the key of the person that the stream is about; empty for a
	// new stream, for which the codec makes one and shares it among all drafts of the call.
	SubjectKey string
	// Origin is sealed under ActorKey; nil when unknown.
	Origin *Origin
	// ActorKey is the key of who did it; empty means the subject did it.
	ActorKey string
}

// Change is what a command decided, and all that has to be stored with it.
type Change struct {
	// Messages, one an event, in order; none means that there is nothing to change.
	Messages []proto.Message
	// Reserve, Release and Keep: see Append.
	Reserve []Reservation
	Release []string
	Keep    []string
}

// Context of a command: who, from where, in which request.
type Context struct {
	// Metadata for each event.
	Metadata Metadata
	// Origin, sealed under ActorKey, or under the subject's key where that is empty.
	Origin *Origin
	// ActorKey: see Draft.
	ActorKey string
	// Command for idempotency; nil for none.
	Command *Command
}

// Store is the log as commands need it.
type Store interface {
	Appender
	StreamReader
}

// Repository loads aggregates of one kind and appends what they decide.
type Repository[A Aggregate] struct {
	// Log is the log's name.
	Log string
	// Store keeps the events.
	Store Store
	// Codec seals and opens them.
	Codec Codec
	// New makes an empty aggregate.
	New func() A
	// Now is the clock.
	Now func() time.Time
	// NewID makes UUIDv7 event ids.
	NewID func() (uuid.UUID, error)
}

const (
	// updateAttempts bounds how often a command is decided again after somebody
	// else was faster.
	updateAttempts = 5
	// streamPage is how many events of a stream are read at once.
	streamPage = 500
)

// Loaded is an aggregate and where its stream stands.
type Loaded[A Aggregate] struct {
	// State is the folded aggregate.
	State A
	// Version of the last event folded in; 0 for a stream without events.
	Version int64
	// Epoch of the log at the read; 0 for a stream without events.
	Epoch int64
	// SubjectKey is the key of the person that the stream is about.
	SubjectKey string
	// KeyIDs are the keys that the payloads of the stream are sealed under, each
	// once, in the order of the stream: what has to be destroyed for it to be
	// forgotten. An origin that the subject left is sealed under one of them; that
	// of somebody else is under a key that outlives the subject.
	KeyIDs []string
	// FirstAt and LastAt are when the first and the last event occurred.
	FirstAt, LastAt time.Time
}

// Load folds a stream up to a version, or all of it where upTo is 0. A stream
// without events is ErrStreamNotFound.
func (r *Repository[A]) Load(ctx context.Context, stream string, upTo int64) (Loaded[A], error) {
	loaded := Loaded[A]{State: r.New()}
	for {
		limit := streamPage
		if upTo > 0 {
			limit = int(min(int64(limit), upTo-loaded.Version))
		}
		if limit == 0 {
			return loaded, nil
		}
		events, err := r.Store.ReadStream(ctx, stream, loaded.Version+1, limit)
		if err != nil {
			return loaded, fmt.Errorf("load stream: %w", err)
		}
		opened, err := r.Codec.Decode(ctx, events)
		if err != nil {
			return loaded, fmt.Errorf("load stream: %w", err)
		}
		for _, event := range opened {
			loaded.State.Apply(event)
			loaded.Version, loaded.Epoch = event.Version, event.Epoch
			loaded.LastAt = event.OccurredAt
			if loaded.FirstAt.IsZero() {
				loaded.FirstAt = event.OccurredAt
			}
			if event.Subject && loaded.SubjectKey == "" {
				loaded.SubjectKey = event.KeyID
			}
			if event.KeyID != "" && !slices.Contains(loaded.KeyIDs, event.KeyID) {
				loaded.KeyIDs = append(loaded.KeyIDs, event.KeyID)
			}
		}
		if len(events) < limit {
			if loaded.Version == 0 {
				return loaded, fmt.Errorf("load stream: %w", ErrStreamNotFound)
			}
			return loaded, nil
		}
	}
}

// Create appends the first events of a stream. A stream that has events
// already is ErrWrongVersion.
func (r *Repository[A]) Create(ctx context.Context, stream string, change Change, of Context) (Appended, error) {
	return r.append(ctx, stream, Loaded[A]{}, change, of)
}

// Update loads a stream, lets decide look at it, and appends what that returns.
// When somebody else was faster it starts over, a bounded number of times, then
// gives up with ErrWrongVersion. A Change without messages appends nothing.
func (r *Repository[A]) Update(ctx context.Context, stream string, of Context, decide func(Loaded[A]) (Change, error)) (Appended, error) {
	for attempt := 1; ; attempt++ {
		loaded, err := r.Load(ctx, stream, 0)
		if err != nil {
			return Appended{}, err
		}
		change, err := decide(loaded)
		if err != nil {
			return Appended{}, err
		}
		if len(change.Messages) == 0 {
			return Appended{Position: Position{Log: r.Log, Epoch: loaded.Epoch, Stream: stream, Version: loaded.Version}}, nil
		}
		appended, err := r.append(ctx, stream, loaded, change, of)
		if !errors.Is(err, ErrWrongVersion) || attempt == updateAttempts {
			return appended, err
		}
		// Jitter, so that two who collided do not collide again.
		if err := backoff.Sleep(ctx, rand.N(time.Duration(attempt)*10*time.Millisecond)); err != nil {
			return Appended{}, err
		}
	}
}

func (r *Repository[A]) append(ctx context.Context, stream string, at Loaded[A], change Change, of Context) (Appended, error) {
	now := r.Now().UTC()
	events := make([]Event, len(change.Messages))
	drafts := make([]Draft, len(change.Messages))
	for i, message := range change.Messages {
		id, err := r.NewID()
		if err != nil {
			return Appended{}, fmt.Errorf("append: make an event id: %w", err)
		}
		events[i] = Event{ID: id, Log: r.Log, Stream: stream, OccurredAt: now, Metadata: of.Metadata}
		drafts[i] = Draft{Event: &events[i], Message: message, SubjectKey: at.SubjectKey, Origin: of.Origin, ActorKey: of.ActorKey}
	}
	if err := r.Codec.Encode(ctx, drafts); err != nil {
		return Appended{}, fmt.Errorf("append: %w", err)
	}
	appended, err := r.Store.Append(ctx, Append{
		Stream:   stream,
		Expected: ExpectedVersion(at.Version),
		Events:   events,
		Reserve:  change.Reserve,
		Release:  change.Release,
		Keep:     change.Keep,
		Command:  of.Command,
	})
	if err != nil {
		return Appended{}, fmt.Errorf("append: %w", err)
	}
	return appended, nil
}
