package view

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-id/muster/eventstore"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/events/v1"
)

const (
	// recordStream is in front of the id in the name of a record's stream.
	recordStream = "disclosure-"
	// recordType is the type of records.
	recordType = "muster.eventlog.events.v1.EventsDisclosed"
	// accountStream is in front of the id of an account in the name of its stream,
	// and of an actor who is a person.
	accountStream = "user-"
)

// Recorded are the types of events that the view itself writes. No projection
// wants them: they are for people, and stay in the log.
func Recorded() []string { return []string{recordType} }

// disclosure is what was asked for.
type disclosure struct {
	method, stream string
	types          []string
}

// record writes down that something personal is about to be shown; nothing where
// nothing is. personal tells of what is shown beside the events.
func (h *Handler) record(ctx context.Context, caller Caller, of disclosure, s shown, personal bool) error {
	told := &eventsv1.EventsDisclosed{Method: of.method, Stream: of.stream, Types: of.types}
	for i, message := range s.messages {
		if !s.personal[i] {
			continue
		}
		if told.Count++; told.Count == 1 {
			told.FirstEventId = message.GetId()
		}
		told.LastEventId = message.GetId()
	}
	if told.GetCount() == 0 && !personal {
		return nil
	}
	if err := h.append(ctx, caller, told); err != nil {
		return fmt.Errorf("record what is about to be shown: %w", err)
	}
	return nil
}

func (h *Handler) append(ctx context.Context, caller Caller, told *eventsv1.EventsDisclosed) error {
	id, err := h.config.NewID()
	if err != nil {
		return err
	}
	stream, err := h.config.NewID()
	if err != nil {
		return err
	}
	events := []eventstore.Event{{
		ID: id, Log: h.config.Log.Name(), Stream: recordStream + stream.String(), OccurredAt: h.config.Now().UTC(), Metadata: caller.Metadata,
	}}
	draft := eventstore.Draft{Event: &events[0], Message: told}
	if draft.ActorKey, err = h.keyOf(ctx, caller.Metadata.Actor); err != nil {
		return err
	}
	if draft.ActorKey != "" { // else it would outlive who it is about
		draft.Origin = caller.Origin
	}
	if err := h.config.Codec.Encode(ctx, []eventstore.Draft{draft}); err != nil {
		return err
	}
	_, err = h.config.Log.Append(ctx, eventstore.Append{Stream: events[0].Stream, Expected: eventstore.NoStream, Events: events})
	return err
}

var errNoActor = errors.New("nobody knows who asks")

// keyOf is the key of a person's account, under which its first event is sealed;
// empty for who is no person.
func (h *Handler) keyOf(ctx context.Context, actor string) (string, error) {
	if actor == "" {
		return "", errNoActor
	}
	if !strings.HasPrefix(actor, accountStream) {
		return "", nil
	}
	events, err := h.config.People.ReadStream(ctx, actor, 1, 1)
	if err != nil {
		return "", fmt.Errorf("read the stream of who asks: %w", err)
	}
	if len(events) == 0 {
		return "", nil
	}
	return events[0].KeyID, nil
}
