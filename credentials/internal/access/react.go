package access

import (
	"context"
	_ "embed"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

var (
	//go:embed queries/forget_rehashed.sql
	forgetRehashed string
	//go:embed queries/delete_sessions.sql
	deleteSessions string
)

var _ projection.Reactor = Projection{}

// React forgets rehashed verifiers with their passwords, and ends the sessions
// of people who were erased. It comes after Apply, which has the locks of the
// rows by then: whoever is about to store a rehashed verifier or a session holds
// the row, and so is either before the statement that forgets it or finds the
// row changed.
func (Projection) React(ctx context.Context, tx pgx.Tx, events []eventstore.Opened) error {
	ended, err := endedBy(events)
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if len(ended.passwordsOf) > 0 {
		if _, err := tx.Exec(ctx, forgetRehashed, ended.passwordsOf, ended.upTo); err != nil {
			return fmt.Errorf("forget rehashed verifiers: %w", err)
		}
	}
	if len(ended.erased) > 0 {
		if _, err := tx.Exec(ctx, deleteSessions, ended.erased); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
	}
	return nil
}

// endings is what a batch ends beside the rows. A person may be there twice.
type endings struct {
	// passwordsOf people, each up to a stream version.
	passwordsOf []uuid.UUID
	upTo        []int64
	erased      []uuid.UUID
}

func endedBy(events []eventstore.Opened) (endings, error) {
	var ended endings
	for _, event := range events {
		var upTo int64
		switch event.Message.(type) {
		case *eventsv1.PasswordSet:
			upTo = event.Version - 1
			if event.Erased {
				upTo = event.Version
			}
		case *eventsv1.UserErased:
			upTo = math.MaxInt64
		case *eventsv1.UserRegistered, *eventsv1.UsernameChanged, *eventsv1.EmailChanged:
			if !event.Erased {
				continue
			}
			upTo = math.MaxInt64 // names without their key: the person was erased
		default:
			continue
		}
		id, err := person(event)
		if err != nil {
			return endings{}, err
		}
		ended.passwordsOf, ended.upTo = append(ended.passwordsOf, id), append(ended.upTo, upTo)
		if upTo == math.MaxInt64 {
			ended.erased = append(ended.erased, id)
		}
	}
	return ended, nil
}
