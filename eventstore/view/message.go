package view

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// answerBytes bounds the events of one answer; a single one may be larger.
const answerBytes = 3 << 20

// shown are events as they are answered.
type shown struct {
	messages []*musterv1.RecordedEvent
	// personal tells of each whether it has something of what was sealed.
	personal []bool
}

// show opens events. What was watched records nothing of itself: see doc.go.
func (h *Handler) show(ctx context.Context, events []eventstore.Event, sensitive, watched bool) (shown, error) {
	var all shown
	if len(events) == 0 {
		return all, nil
	}
	opened := events
	if watched {
		opened = make([]eventstore.Event, len(events))
		for i, event := range events {
			if event.Type == recordType {
				event.MetadataSealed, event.MetadataKeyID = nil, ""
			}
			opened[i] = event
		}
	}
	revealed, err := h.config.Codec.Reveal(ctx, opened, sensitive)
	if err != nil {
		return all, err
	}
	for i, event := range events {
		message, err := messageOf(event, revealed[i])
		if err != nil {
			return all, fmt.Errorf("show event %s: %w", event.ID, err)
		}
		all.messages = append(all.messages, message)
		all.personal = append(all.personal, revealed[i].Personal)
	}
	return all, nil
}

// first are the first n of them.
func (s shown) first(n int) shown { return shown{s.messages[:n], s.personal[:n]} }

// erase marks what was sealed: a key that is not destroyed yet will be.
func (s shown) erase() {
	for _, message := range s.messages {
		message.Erased = message.GetErased() || len(message.GetWithheld()) > 0
	}
}

// fit tells how many fit into an answer: one at least.
func fit(messages []*musterv1.RecordedEvent) int {
	size := 0
	for i, message := range messages {
		if size += proto.Size(message); size > answerBytes && i > 0 {
			return i
		}
	}
	return len(messages)
}

func messageOf(event eventstore.Event, revealed seal.Revealed) (*musterv1.RecordedEvent, error) {
	data, err := structpb.NewStruct(revealed.Data)
	if err != nil {
		return nil, err
	}
	message := &musterv1.RecordedEvent{
		Id:            event.ID.String(),
		Log:           event.Log,
		Stream:        event.Stream,
		Version:       event.Version,
		Type:          event.Type,
		SchemaVersion: event.SchemaVersion,
		OccurredAt:    timestamppb.New(event.OccurredAt),
		Actor:         event.Metadata.Actor,
		OnBehalfOf:    event.Metadata.OnBehalfOf,
		RequestId:     event.Metadata.RequestID,
		TraceParent:   event.Metadata.TraceParent,
		Causation:     event.Metadata.Causation,
		Data:          data,
		Withheld:      revealed.Withheld,
		Erased:        revealed.Erased,
		Note:          revealed.Note,
	}
	if revealed.Origin != nil {
		message.Address, message.UserAgent = revealed.Origin.Address, revealed.Origin.UserAgent
	}
	return message, nil
}

// moment is the zero time where none is given.
func moment(at *timestamppb.Timestamp, field string) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if at.CheckValid() != nil {
		return time.Time{}, invalid(field, "The time lies outside of the years 1 to 9999")
	}
	return at.AsTime(), nil
}
