package app

import (
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
)

// Request is in which call a command came, from where.
type Request struct {
	// ID that the client was shown.
	ID string
	// TraceParent is the W3C trace context.
	TraceParent string
	// Origin is personal and is sealed; nil when unknown.
	Origin *eventstore.Origin
	// IdempotencyKey is the client's; empty when it gave none.
	IdempotencyKey string
}

// by makes the context of a command that a person does to the own account: the
// origin is sealed under that person's key.
func (r Request) by(userID string, command *eventstore.Command) eventstore.Context {
	return eventstore.Context{
		Metadata: eventstore.Metadata{Actor: user.Stream(userID), RequestID: r.ID, TraceParent: r.TraceParent},
		Origin:   r.Origin,
		Command:  command,
	}
}
