package erasure

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// Name is the projection's key in the database.
const Name = "erasure"

// page is how many files are looked up at once. Each look also keeps the
// projection's transaction from idling for too long.
const page = 50

// ErrBehind means that the access lists in the rows are older than the end of the
// person's avatar. They will not be in a moment.
var ErrBehind = errors.New("the projection of files has not caught up")

// People ends what a person has.
type People interface {
	// EraseOwner ends the stream of the person's avatar and gives its position.
	EraseOwner(ctx context.Context, userID string) (eventstore.Position, error)
	// EraseFile ends the stream of a file, whether there is one already or not.
	EraseFile(ctx context.Context, fileID, ownerID string) error
	// ForgetReader takes a person off a file's access list.
	ForgetReader(ctx context.Context, fileID, readerID string) error
}

// Rows finds what a person has.
type Rows interface {
	FilesOf(ctx context.Context, tx pgx.Tx, owner, after uuid.UUID, limit int) ([]uuid.UUID, error)
	RefuseUploadsOf(ctx context.Context, tx pgx.Tx, owner uuid.UUID) error
	SharedWith(ctx context.Context, tx pgx.Tx, person uuid.UUID) ([]uuid.UUID, error)
}

// Awaiter tells when the rows of files hold a position, and with it all that was
// in the log before.
type Awaiter interface {
	Await(ctx context.Context, position eventstore.Position) error
}

// Erasure erases people.
type Erasure struct {
	people People
	rows   Rows
	files  Awaiter
}

var (
	_ projection.Projection = (*Erasure)(nil)
	_ projection.Reactor    = (*Erasure)(nil)
)

// New makes an Erasure.
func New(people People, rows Rows, files Awaiter) *Erasure {
	return &Erasure{people: people, rows: rows, files: files}
}

// Name is Name.
func (*Erasure) Name() string { return Name }

// Tables is nil: there are no rows.
func (*Erasure) Tables() []projection.Table { return nil }

// Handles tells that people who are erased are all that counts.
func (*Erasure) Handles(eventType string) bool {
	return eventType == eventstore.TypeOf(&identityeventsv1.UserErased{})
}

// Apply does nothing: there are no rows.
func (*Erasure) Apply(context.Context, pgx.Tx, int64, []eventstore.Opened) error { return nil }

// React erases the people of the batch. What it appends stays, also where a
// later step fails and all of it is tried again.
func (e *Erasure) React(ctx context.Context, tx pgx.Tx, events []eventstore.Opened) error {
	for _, event := range events {
		erased, ok := event.Message.(*identityeventsv1.UserErased)
		if !ok {
			continue
		}
		person, err := uuid.Parse(erased.GetUserId())
		if err != nil {
			return fmt.Errorf("erase person: event %s: its user id is no UUID", event.ID)
		}
		if err := e.erase(ctx, tx, person); err != nil {
			return fmt.Errorf("erase person %s: %w", person, away(err))
		}
	}
	return nil
}

// away says of a failure that it will pass, but not of a stream that cannot be
// opened: the people behind it need not wait for that.
func away(err error) error {
	for _, lasting := range []error{seal.ErrUnknownType, seal.ErrUnknownKey, seal.ErrTampered} {
		if errors.Is(err, lasting) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", projection.ErrAway, err)
}

func (e *Erasure) erase(ctx context.Context, tx pgx.Tx, person uuid.UUID) error {
	// First, so that whoever begins after the looks below sees it.
	ended, err := e.people.EraseOwner(ctx, person.String())
	if err != nil {
		return err
	}
	if err := e.eraseFiles(ctx, tx, person); err != nil {
		return err
	}
	if err := e.leaveLists(ctx, tx, person, ended); err != nil {
		return err
	}
	return e.rows.RefuseUploadsOf(ctx, tx, person)
}

func (e *Erasure) eraseFiles(ctx context.Context, tx pgx.Tx, person uuid.UUID) error {
	var last uuid.UUID
	for {
		ids, err := e.rows.FilesOf(ctx, tx, person, last, page)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := e.people.EraseFile(ctx, id.String(), person.String()); err != nil {
				return err
			}
			last = id
		}
		if len(ids) < page {
			return nil
		}
	}
}

func (e *Erasure) leaveLists(ctx context.Context, tx pgx.Tx, person uuid.UUID, ended eventstore.Position) error {
	// The rows follow the log in its order, so once they hold the end of the avatar
	// they hold each share from before.
	err := e.files.Await(ctx, ended)
	switch {
	case errors.Is(err, projection.ErrNotApplied):
		return ErrBehind
	case err != nil:
		return err
	}
	shared, err := e.rows.SharedWith(ctx, tx, person)
	if err != nil {
		return err
	}
	for _, id := range shared {
		if err := e.people.ForgetReader(ctx, id.String(), person.String()); err != nil {
			return err
		}
	}
	return nil
}
