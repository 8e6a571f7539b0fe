package eventtest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/muster-id/muster/eventstore"
)

// Scenario is an aggregate with a past.
type Scenario[A eventstore.Aggregate] struct {
	t         testing.TB
	aggregate A
}

// Given applies a past to a new aggregate. The events have the versions from 1
// on, one second after another from 2026-01-01 on.
func Given[A eventstore.Aggregate](t testing.TB, aggregate A, past ...proto.Message) Scenario[A] {
	t.Helper()
	for i, message := range past {
		aggregate.Apply(eventstore.Opened{Event: eventAt(i, message), Message: message, Subject: true})
	}
	return Scenario[A]{t: t, aggregate: aggregate}
}

// eventAt is the envelope of the event in place i.
func eventAt(i int, message proto.Message) eventstore.Event {
	const stream = "scenario-1"
	return eventstore.Event{
		ID:            uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(i >> 8), byte(i)}),
		Log:           "scenario",
		Epoch:         1,
		Stream:        stream,
		Version:       int64(i + 1),
		Shard:         eventstore.ShardOf(stream),
		Type:          eventstore.TypeOf(message),
		SchemaVersion: 1,
		OccurredAt:    time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC),
	}
}

// When lets the aggregate decide.
func (s Scenario[A]) When(decide func(A) ([]proto.Message, error)) Decision {
	s.t.Helper()
	messages, err := decide(s.aggregate)
	return Decision{t: s.t, messages: messages, err: err}
}

// Decision is what the aggregate decided.
type Decision struct {
	t        testing.TB
	messages []proto.Message
	err      error
}

// Then demands exactly these events, in this order; none where none are given.
func (d Decision) Then(want ...proto.Message) {
	d.t.Helper()
	if d.err != nil {
		d.t.Errorf("refused: %v", d.err)
		return
	}
	if len(want) == 0 && len(d.messages) == 0 {
		return
	}
	if diff := cmp.Diff(want, d.messages, protocmp.Transform()); diff != "" {
		d.t.Errorf("other events than wanted (-want +decided):\n%s", diff)
	}
}

// ThenError demands a refusal with this error, and no events.
func (d Decision) ThenError(want error) {
	d.t.Helper()
	if !errors.Is(d.err, want) {
		d.t.Errorf("refused with %v, want %v", d.err, want)
	}
	if len(d.messages) > 0 {
		d.t.Errorf("%d events besides the refusal", len(d.messages))
	}
}
