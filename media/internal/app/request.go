package app

import "github.com/muster-id/muster/eventstore"

// Request is in which call a command came, from where.
type Request struct {
	// ID that the client was shown.
	ID string
	// TraceParent is the W3C trace context.
	TraceParent string
	// Origin is personal and is sealed; nil when unknown.
	Origin *eventstore.Origin
}

// by makes the context of a command that a person does to what is the person's
// own: the origin is sealed under a key of it, and forgotten with it.
func (r Request) by(userID string) eventstore.Context {
	return eventstore.Context{Metadata: r.metadata(userID), Origin: r.Origin}
}

// byAnother makes the context of a command that somebody does to what is somebody
// else's. Media holds no key of who does it, so the origin is left out.
func (r Request) byAnother(userID string) eventstore.Context {
	return eventstore.Context{Metadata: r.metadata(userID)}
}

func (r Request) metadata(userID string) eventstore.Metadata {
	return eventstore.Metadata{Actor: "user-" + userID, RequestID: r.ID, TraceParent: r.TraceParent}
}

// own is the context of what media does by itself.
func own() eventstore.Context {
	return eventstore.Context{Metadata: eventstore.Metadata{Actor: "service-" + LogName}}
}
