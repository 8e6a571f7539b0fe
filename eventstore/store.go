package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What an append or a read can be refused with. Match with errors.Is.
var (
	// ErrWrongVersion: the stream is not at the expected version, or has no such predecessor.
	ErrWrongVersion = errors.New("stream is not at the expected version")
	// ErrStreamNotFound: the stream has no events.
	ErrStreamNotFound = errors.New("stream has no events")
	// ErrEventIDUsed: an event of this id is in the log already.
	ErrEventIDUsed = errors.New("event id is in the log already")
	// ErrCommandReused: the idempotency key was used with another request.
	ErrCommandReused = errors.New("idempotency key was used with another request")
	// ErrCursorInvalid: the cursor is not one of this log's.
	ErrCursorInvalid = errors.New("cursor is not one of this log's")
	// ErrEpochChanged: the cursor is of a former epoch, or from before a crash of
	// the log's server; start from the beginning and skip what is known.
	ErrEpochChanged = errors.New("the log has entered a new epoch, or its server has crashed since")
	// ErrAway: something that is needed does not answer. Not a fault of what was
	// asked for; try again.
	ErrAway = errors.New("something that is needed is away")
)

// ReservedError says that a name is taken by another stream.
type ReservedError struct {
	// Kind is the kind of the name, for example "username".
	Kind string
}

// Error names the kind, never the name.
func (e *ReservedError) Error() string {
	return fmt.Sprintf("%s is reserved by another stream", e.Kind)
}

// LastHolderError says that no other stream holds a name of a kind that the log
// may not be left without.
type LastHolderError struct {
	// Kind is the kind of the name.
	Kind string
}

// Error names the kind.
func (e *LastHolderError) Error() string {
	return fmt.Sprintf("no other stream holds a reservation of kind %s", e.Kind)
}

// StreamError says which stream of a bulk was refused, and so all of it.
type StreamError struct {
	// Stream that was refused.
	Stream string
	// Err is why.
	Err error
}

// Error names the stream.
func (e *StreamError) Error() string { return e.Stream + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *StreamError) Unwrap() error { return e.Err }

// ExpectedVersion is what the caller believes of the stream: the version of its
// last event, or NoStream, or AnyVersion.
type ExpectedVersion int64

const (
	// AnyVersion appends at whatever version the stream has.
	AnyVersion ExpectedVersion = -1
	// NoStream demands that the stream has no events.
	NoStream ExpectedVersion = 0
)

// Append is everything that one command changes, in one transaction.
type Append struct {
	// Stream that all Events belong to.
	Stream string
	// Expected version of the stream before the append.
	Expected ExpectedVersion
	// Events to append, at least one; Version, Shard, Log and Epoch are set by the log.
	Events []Event
	// Reserve takes names for the stream.
	Reserve []Reservation
	// Release gives back the stream's names of these kinds, before Reserve takes new ones.
	Release []string
	// Keep are kinds of which another stream has to hold a name, now and until
	// the append is done: of two streams that give back the last two of a kind at
	// the same time, one is refused.
	Keep []string
	// Command makes the append idempotent; nil for none.
	Command *Command
}

// Reservation is a name that only one stream may hold, as a keyed hash.
type Reservation struct {
	// Kind, for example "username" or "email".
	Kind string
	// Hash is HMAC-SHA-256 of the canonical name, 32 bytes.
	Hash []byte
	// KeyID names the HMAC's key.
	KeyID string
}

// Command identifies a request, so that a repeated one is answered, not executed.
type Command struct {
	// Caller is who sent it, for example "user-<id>", or "anonymous".
	Caller string
	// Method is the procedure's name.
	Method string
	// Key is the caller's Idempotency-Key.
	Key string
	// Fingerprint is a keyed hash of the request without its secrets, 32 bytes.
	Fingerprint []byte
}

// Position names a version of a stream, in one incarnation of a log.
type Position struct {
	Log     string
	Epoch   int64
	Stream  string
	Version int64
}

// Appended is the outcome of an append.
type Appended struct {
	// Position of the last event.
	Position Position
	// Replayed is true when the command was executed before: nothing was appended,
	// and Position is that of the first time.
	Replayed bool
}

// Cursor is an opaque place in a whole log; empty is the beginning.
type Cursor string

// Page is a part of a log.
type Page struct {
	// Events, in order inside each stream.
	Events []Event
	// Next is where to go on. It may move without events.
	Next Cursor
	// Epoch of the log.
	Epoch int64
	// AtHead is true when there was nothing more.
	AtHead bool
	// Remaining is about how many events of the log come after this page: rather
	// more than are left, since offsets are counted, which have gaps. 0 at the head,
	// and nowhere else.
	Remaining int64
}

// Description is what has happened to a log.
type Description struct {
	// Log is its name.
	Log string
	// LastOffset is rather more than the number of its events: offsets have gaps.
	LastOffset int64
	// LastEventAt is when the last event's command was decided; zero for no event.
	LastEventAt time.Time
	// Epochs, the present one first.
	Epochs []Epoch
}

// Epoch is one incarnation of a log.
type Epoch struct {
	// Number is the time at which it began, in milliseconds since 1970; 1 for the
	// first one of a log that was made before epochs were numbered so.
	Number int64
	// BeganAt is when it began.
	BeganAt time.Time
	// Reason is why, in a sentence for operators.
	Reason string
	// LastOffset is that of all former epochs.
	LastOffset int64
}

// Filter chooses events of a log. The zero value chooses all.
type Filter struct {
	// Types are full names of messages; none for all.
	Types []string
	// Stream is a stream's name, or the beginning of names, such as "user-".
	Stream string
}

// Appender writes a log.
type Appender interface {
	// Append writes all of it or nothing. Errors: ErrWrongVersion,
	// *ReservedError, *LastHolderError, ErrCommandReused, ErrEventIDUsed.
	Append(ctx context.Context, a Append) (Appended, error)
}

// BulkAppender writes a log for many streams at once, for imports.
type BulkAppender interface {
	// AppendAll writes all of it or nothing. Each stream is named once; Release,
	// Keep and Command of the single appends stay empty. A command is for the whole
	// bulk: nil for none. It gives an outcome for each append, in their order; where
	// the command was executed before, one alone: that of the first append then.
	// Errors are those of Append, where a single stream is at fault in a *StreamError.
	AppendAll(ctx context.Context, appends []Append, command *Command) ([]Appended, error)
}

// StreamReader reads one stream.
type StreamReader interface {
	// ReadStream reads at most limit events of a stream from a version (1 for the
	// first) on; none when there are none.
	ReadStream(ctx context.Context, stream string, from int64, limit int) ([]Event, error)
}

// LogReader reads a whole log.
type LogReader interface {
	// ReadLog reads at most limit events after the cursor: each event once, none
	// skipped, in order inside each stream. At the head it waits up to wait for
	// one. Errors: ErrCursorInvalid, ErrEpochChanged.
	ReadLog(ctx context.Context, after Cursor, limit int, wait time.Duration) (Page, error)
}

// FilteredReader reads those events of a whole log that a filter chooses.
type FilteredReader interface {
	// ReadMatching reads as ReadLog does, and leaves out what the filter does not
	// choose. A page without events need not be at the head: go on from its Next.
	ReadMatching(ctx context.Context, filter Filter, after Cursor, limit int, wait time.Duration) (Page, error)
}
