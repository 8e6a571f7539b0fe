package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/media/internal/object"
)

var (
	//go:embed queries/lock_due.sql
	lockDue string
	//go:embed queries/forget_objects.sql
	forgetObjects string
	//go:embed queries/sweep_later.sql
	sweepLater string
	//go:embed queries/known_uploads.sql
	knownUploads string
)

// Due is an object that the sweeper has to look at.
type Due struct {
	object.Ref
	// Doomed is true for one that has to go in any case; otherwise it is one that
	// no event kept in time.
	Doomed bool
	// WritableUntil is until when somebody may begin to write it.
	WritableUntil time.Time
}

// Verdict is what became of one.
type Verdict int

const (
	// Undone: the sweeper comes back to it; the zero value.
	Undone Verdict = iota
	// Deleted: there is no such object any more.
	Deleted
	// Later: an event keeps it, which its row does not say yet.
	Later
	// Unclear: nobody can tell at present whether one does.
	Unclear
)

// Sweep holds at most limit due rows while judge deals with their objects, and
// writes down what became of each; held counts them. Nobody else sweeps or renews
// those rows meanwhile, so judge has to be done within a few seconds.
func (s *Store) Sweep(ctx context.Context, limit int, judge func(context.Context, []Due) []Verdict) (held int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		now := s.now()
		rows, err := tx.Query(ctx, lockDue, now, limit)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Due, error) {
			var d Due
			var state string
			err := row.Scan(&d.Kind, &d.ID, &d.Owner, &state, &d.WritableUntil)
			d.Doomed = state == "doomed"
			return d, err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		held = len(due)
		return settle(ctx, tx, due, judge(ctx, due), now)
	})
	if err != nil {
		return 0, fmt.Errorf("sweep objects: %w", err)
	}
	return held, nil
}

func settle(ctx context.Context, tx pgx.Tx, due []Due, verdicts []Verdict, now time.Time) error {
	var goneKinds, laterKinds []string
	var goneIDs, laterIDs []uuid.UUID
	var laterAt []time.Time
	for i, d := range due {
		var again time.Time
		switch verdicts[i] {
		case Undone:
			continue
		case Later, Unclear:
			again = now.Add(Grace)
		case Deleted:
			// A form that is still good may bring it back: the row stays for a second go.
			again = d.WritableUntil.Add(Grace)
		}
		if again.After(now) {
			laterKinds, laterIDs, laterAt = append(laterKinds, string(d.Kind)), append(laterIDs, d.ID), append(laterAt, again)
		} else {
			goneKinds, goneIDs = append(goneKinds, string(d.Kind)), append(goneIDs, d.ID)
		}
	}
	if len(goneIDs) > 0 {
		if _, err := tx.Exec(ctx, forgetObjects, goneKinds, goneIDs); err != nil {
			return err
		}
	}
	if len(laterIDs) > 0 {
		if _, err := tx.Exec(ctx, sweepLater, laterKinds, laterIDs, laterAt); err != nil {
			return err
		}
	}
	return nil
}

// KnownUploads tells which of these uploads have a row.
func (s *Store) KnownUploads(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := s.pool.Query(ctx, knownUploads, ids)
	if err != nil {
		return nil, fmt.Errorf("look for uploads: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("look for uploads: %w", err)
	}
	known := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		known[id] = true
	}
	return known, nil
}
