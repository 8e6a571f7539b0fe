package projection

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Table is a table of a projection's rows. It has a column generation, with
// which its primary key begins.
type Table struct {
	// Name with its schema, for example "read.access".
	Name string
	// Key are the columns that name a row inside its generation.
	Key []string
	// Sensitive are the columns whose values are shown to nobody.
	Sensitive []string
}

// GenerationState says what a generation of rows is for.
type GenerationState string

// The states of a generation.
const (
	// Serving: reads are answered from it.
	Serving GenerationState = "serving"
	// Building: it is being made, to serve once it is complete.
	Building GenerationState = "building"
	// Verifying: it is being made, to be compared with the rows that serve.
	Verifying GenerationState = "verifying"
	// Former: it served before, and is kept up to date.
	Former GenerationState = "former"
	// Dropping: it is being deleted.
	Dropping GenerationState = "dropping"
)

// Generation is one set of a projection's rows.
type Generation struct {
	// Number from 1.
	Number int64
	// State says what it is for.
	State GenerationState
	// BegunAt is when it was begun.
	BegunAt time.Time
}

// OperationKind says what is done with a projection.
type OperationKind string

// The kinds of operations.
const (
	// Rebuild makes rows anew, to serve.
	Rebuild OperationKind = "rebuild"
	// Verify makes rows anew, to be compared with those that serve.
	Verify OperationKind = "verify"
)

// OperationState says how far an operation is.
type OperationState string

// The states of an operation.
const (
	Running   OperationState = "running"
	Done      OperationState = "done"
	Failed    OperationState = "failed"
	Cancelled OperationState = "cancelled"
)

// Operation is a rebuild or a verification.
type Operation struct {
	// Kind says what it does.
	Kind OperationKind
	// Projection is the name of the projection.
	Projection string
	// Generation that it makes.
	Generation int64
	// State says how far it is.
	State OperationState
	// StartedAt is when it was begun, by StartedBy: "user-<id>" or "service-<name>".
	StartedAt time.Time
	StartedBy string
	// FinishedAt is when it ended; zero while it runs.
	FinishedAt time.Time
	// EventsDone were read; EventsLeft are about as many as are left.
	EventsDone, EventsLeft int64
	// Rate is how many events it reads a second.
	Rate float64
	// Problem says why it failed.
	Problem string
	// Verification is what a verification found; nil before it is done.
	Verification *Verification
}

// TimeLeft is how long the operation will take at its rate; false when that
// cannot be told.
func (o Operation) TimeLeft() (time.Duration, bool) {
	if o.State != Running || o.Rate <= 0 {
		return 0, false
	}
	return time.Duration(float64(o.EventsLeft) / o.Rate * float64(time.Second)), true
}

// Verification is what a comparison of rows found. It is kept as JSON.
type Verification struct {
	// Rows that were compared, and how many of them differ.
	Rows      int64 `json:"rows"`
	Differing int64 `json:"differing"`
	// Differences are the first maxDifferences of those, in the order of the tables
	// and their keys.
	Differences []Difference `json:"differences,omitempty"`
}

// DifferenceKind says how a row differs.
type DifferenceKind string

// The kinds of differences.
const (
	// Surplus: the row serves, but the events make no such row.
	Surplus DifferenceKind = "surplus"
	// Missing: the events make the row, but it does not serve.
	Missing DifferenceKind = "missing"
	// Changed: some of its columns differ.
	Changed DifferenceKind = "changed"
)

// Difference is a row that is not as the events make it.
type Difference struct {
	// Table with its schema.
	Table string `json:"table"`
	// Key of the row, for example "user_id=0199…".
	Key string `json:"key"`
	// Kind says how it differs.
	Kind DifferenceKind `json:"kind"`
	// Columns that differ, where it is Changed.
	Columns []ColumnDifference `json:"columns,omitempty"`
}

// ColumnDifference is a column that differs, its values as JSON, or "[redacted]".
type ColumnDifference struct {
	Column  string `json:"column"`
	Serving string `json:"serving"`
	Rebuilt string `json:"rebuilt"`
}

// Parked is an event that could not be applied. Its stream waits behind it.
type Parked struct {
	// Generation of rows that it is missing from.
	Generation int64
	// Log, Stream and Version say where it stands.
	Log, Stream string
	Version     int64
	// EventID, Type and OccurredAt are the event's own.
	EventID    uuid.UUID
	Type       string
	OccurredAt time.Time
	// ParkedAt is when it was parked.
	ParkedAt time.Time
	// Waiting events of the stream, this one included, as far as they were seen.
	Waiting int64
	// Attempts to apply it, and why the last one failed, without what is sealed.
	Attempts int
	Problem  string
}

// Skipped is an event that an operator has left out.
type Skipped struct {
	// Log, Stream and Version say where it stands.
	Log, Stream string
	Version     int64
	// EventID and Type are the event's own.
	EventID uuid.UUID
	Type    string
	// At is when it was left out, By who did it: "user-<id>" or "service-<name>".
	At time.Time
	By string
	// Reason that was given.
	Reason string
}

// Outcome of trying a parked stream again.
type Outcome struct {
	// Applied counts the events that are in the rows now.
	Applied int64
	// Parked is the event that failed; nil when all are applied.
	Parked *Parked
}

// Overview is all that operators are told of a projection.
type Overview struct {
	Stats
	// Log that it follows.
	Log string
	// Generations that it has, by number.
	Generations []Generation
	// Operation that is under way, or the last one; nil when there was none.
	Operation *Operation
}

// What an operation can be refused with, beside *UnderWayError.
var (
	// ErrNothingUnderWay: there is no operation to give up.
	ErrNothingUnderWay = errors.New("no operation is under way")
	// ErrNoFormer: the projection has no former generation.
	ErrNoFormer = errors.New("there is no former generation")
	// ErrNotParked: no event of the stream is parked.
	ErrNotParked = errors.New("no such event is parked")
	// ErrBusy: rows could not be swapped, or an operation ended at this moment. Ask again.
	ErrBusy = errors.New("the projection is busy at present")
)

// OtherParkedError refuses to leave out an event while another one of its stream
// is parked.
type OtherParkedError struct {
	// Version of the one that is.
	Version int64
}

// Error names it.
func (e *OtherParkedError) Error() string {
	return fmt.Sprintf("the event of the stream that is parked is version %d", e.Version)
}

// OtherFormerError refuses a generation that is not the former one.
type OtherFormerError struct {
	// Generation that was meant.
	Generation int64
}

// Error names it.
func (e *OtherFormerError) Error() string {
	return fmt.Sprintf("generation %d is not the former one", e.Generation)
}

// Unwrap gives ErrNoFormer: there is none that could be meant.
func (e *OtherFormerError) Unwrap() error { return ErrNoFormer }

// UnderWayError refuses an operation while another one is under way: they run
// one at a time in a database.
type UnderWayError struct {
	// Operation is the one that came first.
	Operation Operation
}

// Error names it.
func (e *UnderWayError) Error() string {
	what := "rebuild"
	if e.Operation.Kind == Verify {
		what = "verification"
	}
	return fmt.Sprintf("the %s of %s into generation %d, begun at %s, is under way",
		what, e.Operation.Projection, e.Operation.Generation, e.Operation.StartedAt.UTC().Format(time.RFC3339))
}
