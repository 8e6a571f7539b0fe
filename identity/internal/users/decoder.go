package users

import (
	"context"
	"slices"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// WithoutPasswords opens events and leaves verifiers sealed: no list needs them,
// and a rebuild asks the keyring for half as many keys.
func WithoutPasswords(decoder projection.Decoder) projection.Decoder {
	return withoutPasswords{decoder}
}

type withoutPasswords struct{ projection.Decoder }

// Known tells what the decoder behind it tells; where that tells nothing, all
// types are known.
func (d withoutPasswords) Known(eventType string) bool {
	behind, tells := d.Decoder.(interface{ Known(eventType string) bool })
	return !tells || behind.Known(eventType)
}

// Decode opens events, in their order.
func (d withoutPasswords) Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	events = slices.Clone(events)
	for i, event := range events {
		if event.Type == eventstore.TypeOf(&eventsv1.PasswordSet{}) {
			events[i].Sealed, events[i].KeyID = nil, ""
		}
	}
	return d.Decoder.Decode(ctx, events)
}
