package eventstore

import (
	"context"
	"time"
)

// Look chooses events of a whole log, the newest first. The zero value chooses all.
type Look struct {
	// Types are full names of messages, or the last parts of such; none for all.
	Types []string
	// Stream is a stream's name, or the beginning of names, such as "user-".
	Stream string
	// Actor is who did it, as in Metadata; empty for all.
	Actor string
	// Since and Until bound when the events occurred: not before the one, before
	// the other. Zero times bound nothing.
	Since, Until time.Time
	// Before is the place that all of them come before; 0 for the end of the log.
	Before int64
}

// Placed is an event and its place in the log.
type Placed struct {
	Event
	// Place grows with the log inside each stream, and means something in the
	// event's epoch only.
	Place int64
}

// Glance is what one call has found, the newest first.
type Glance struct {
	// Events that were chosen.
	Events []Placed
	// Next is the place to go on before; 0 at the beginning of the log. It may
	// move without events: those that were looked at are left out.
	Next int64
	// Epoch that the places belong to.
	Epoch int64
}

// BackwardReader reads a log from its end.
type BackwardReader interface {
	// ReadBack gives at most limit events, and looks at a bounded number of others.
	ReadBack(ctx context.Context, look Look, limit int) (Glance, error)
}
