package projection

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
)

var (
	//go:embed queries/hold_pointer.sql
	holdPointerSQL string
	//go:embed queries/newly_parked.sql
	newlyParkedSQL string
	//go:embed queries/retire.sql
	retireSQL string
	//go:embed queries/demote.sql
	demoteSQL string
	//go:embed queries/promote.sql
	promoteSQL string
	//go:embed queries/end_operation.sql
	endOperationSQL string
	//go:embed queries/drop_generation.sql
	dropGenerationSQL string
	//go:embed queries/start_over.sql
	startOverSQL string
)

// holdTime bounds how long the rows that serve may be held: what is appended in
// the meantime is seen that much later.
const holdTime = 3 * time.Second

// errLater: there is nothing to do for a moment.
var errLater = errors.New("later")

// failure ends an operation for good, and says why to whoever began it.
type failure struct{ problem string }

func (f *failure) Error() string { return f.problem }

// hold keeps the rows that serve as they are while do runs, and gives it the
// transaction. It is given up after holdTime.
func (p *Projector) hold(ctx context.Context, f *feeding, do func(ctx context.Context, tx pgx.Tx, serving place) error) error {
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	f.hurried = true
	defer func() { f.hurried = false }()
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var serving place
		if err := tx.QueryRow(ctx, holdPointerSQL, p.Name()).Scan(&serving.incarnation, &serving.generation, &serving.epoch); err != nil {
			return fmt.Errorf("hold the rows that serve: %w", err)
		}
		return do(ctx, tx, serving)
	})
}

// swap lets a generation serve that has reached the head of the log. While it
// does, nobody applies anything to the rows that serve, so the others, once they
// have reached the head as it is then, hold all that anybody has seen. It is not
// done where the log was too fast; the generation is then fed on.
func (p *Projector) swap(ctx context.Context, f *feeding) (done bool, err error) {
	err = p.hold(ctx, f, func(ctx context.Context, tx pgx.Tx, serving place) error {
		if err := p.feedAll(ctx, f, false); err != nil {
			return err
		}
		if f.state == Building {
			if err := p.refuseWorse(ctx, tx, f, serving); err != nil {
				return err
			}
		}
		if err := p.store.lockGeneration(ctx, tx, f.place()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, retireSQL, p.Name(), f.generation); err != nil {
			return fmt.Errorf("retire former generation: %w", err)
		}
		if _, err := tx.Exec(ctx, demoteSQL, p.Name()); err != nil {
			return fmt.Errorf("demote generation: %w", err)
		}
		tag, err := tx.Exec(ctx, promoteSQL, p.Name(), f.generation, f.worker, f.state)
		if err != nil {
			return fmt.Errorf("promote generation: %w", err)
		}
		if tag.RowsAffected() != 1 {
			return errMoved
		}
		return p.store.endOperation(ctx, tx, f, Done, "", nil)
	})
	if tooLate(ctx, err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("swap: %w", err)
	}
	p.logger.InfoContext(ctx, "another generation serves", "generation", f.generation)
	return true, nil
}

// tooLate tells whether something did not fit into holdTime.
func tooLate(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
}

// refuseWorse refuses rows that lack somebody whom the present ones have. In a
// new epoch the present ones are not to be kept.
func (p *Projector) refuseWorse(ctx context.Context, tx pgx.Tx, f *feeding, serving place) error {
	if serving.epoch != f.epoch {
		return nil
	}
	var stream, problem string
	var version, count int64
	err := tx.QueryRow(ctx, newlyParkedSQL, p.Name(), f.generation, serving.generation).Scan(&stream, &version, &problem, &count)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for parked events: %w", err)
	}
	return &failure{fmt.Sprintf("%d streams that are in the present rows cannot be applied any more, first version %d of %s: %s", count, version, stream, problem)}
}

// verify compares a generation with the one that serves, both at the same place
// of the log. It is not done where the log was too fast.
func (p *Projector) verify(ctx context.Context, f *feeding) (done bool, err error) {
	var serving place
	// A transaction of its own sees the rows as they are while they are held, and
	// goes on to when they are not any more.
	look, err := p.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return false, fmt.Errorf("verify: %w", err)
	}
	defer look.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has written nothing
	err = p.hold(ctx, f, func(ctx context.Context, _ pgx.Tx, held place) error {
		serving = held
		if serving.epoch != f.epoch {
			return &failure{"the log has entered a new epoch, and the rows have to be rebuilt"}
		}
		if err := p.feedAll(ctx, f, false); err != nil {
			return err
		}
		if err := p.catchUp(ctx, f); err != nil {
			return err
		}
		_, err := look.Exec(ctx, `SELECT pg_current_snapshot()`)
		return err
	})
	if tooLate(ctx, err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("verify: %w", err)
	}
	// A large table takes longer than any other statement may.
	if _, err := look.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return false, fmt.Errorf("verify: %w", err)
	}
	found, err := compare(ctx, look, p.projection.Tables(), serving.generation, f.generation)
	if err != nil {
		return false, fmt.Errorf("verify: %w", err)
	}
	return true, p.finish(ctx, f, Done, "", &found)
}

// catchUp applies to the rows that serve, which we hold, what others would have
// applied in a moment: all that the generation has, and no more.
func (p *Projector) catchUp(ctx context.Context, f *feeding) error {
	serving, cursor, err := p.store.serving(ctx)
	if err != nil {
		return err
	}
	for {
		read, err := readPage(ctx, p.source, p.log, cursor, batchLimit, 0)
		if err != nil {
			return err
		}
		at, err := p.lookFor(ctx, f, read.Events, true)
		if err != nil {
			return err
		}
		// No page, since its cursor would pass over what is left out.
		b := &batch{held: true, events: slices.DeleteFunc(read.Events, func(event eventstore.Event) bool {
			return event.Version > at.versions[event.Stream]
		})}
		for done := len(b.events) == 0; !done; {
			if done, err = p.attempt(ctx, serving.incarnation, b); err != nil {
				return err
			}
		}
		if read.AtHead {
			return nil
		}
		cursor = read.Next
	}
}

// finish ends an operation whose generation is not needed any more.
func (p *Projector) finish(ctx context.Context, f *feeding, state OperationState, problem string, found *Verification) error {
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if err := p.dropFed(ctx, tx, f); err != nil {
			return err
		}
		return p.store.endOperation(ctx, tx, f, state, problem, found)
	})
	if err != nil {
		return fmt.Errorf("finish operation: %w", err)
	}
	return nil
}

// dropFed has a generation deleted, unless the lease on it has ended. The row is
// locked until the end of tx.
func (p *Projector) dropFed(ctx context.Context, tx pgx.Tx, f *feeding) error {
	tag, err := tx.Exec(ctx, dropGenerationSQL, p.Name(), f.generation, f.worker)
	if err == nil && tag.RowsAffected() != 1 {
		err = errMoved
	}
	return err
}

// settle does what an error says that ended the making of a generation: an
// operation fails for good; or it starts over with another generation, where the
// log has to be read from the beginning.
func (p *Projector) settle(ctx context.Context, f *feeding, err error) error {
	var failed *failure
	switch {
	case errors.As(err, &failed):
		p.logger.ErrorContext(ctx, "an operation fails", "generation", f.generation, "problem", failed.problem)
		return p.finish(ctx, f, Failed, failed.problem, nil)
	case errors.Is(err, eventstore.ErrEpochChanged), errors.Is(err, eventstore.ErrCursorInvalid):
		p.logger.WarnContext(ctx, "the log has to be read from the beginning", "generation", f.generation)
		return p.startOver(ctx, f)
	}
	return err
}

// startOver reads the log from the beginning again: into the same rows where the
// epoch is the same and they are followed, which skips what is known; into other
// ones where they were being made.
func (p *Projector) startOver(ctx context.Context, f *feeding) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if f.state == Former || f.state == returning {
			var epoch int64
			err := tx.QueryRow(ctx, holdPointerSQL, p.Name()).Scan(nil, nil, &epoch)
			if err == nil && epoch == f.epoch && f.cursor == "" {
				return errLater // the log is ahead of the rows that serve, which are being made anew
			}
			if err == nil && epoch == f.epoch {
				_, err = tx.Exec(ctx, moveCursorSQL, p.Name(), f.generation, "")
			} else if err == nil { // of another epoch: nobody can go back to it
				err = p.dropFed(ctx, tx, f)
			}
			return err
		}
		if err := p.dropFed(ctx, tx, f); err != nil {
			return err
		}
		var number int64
		if err := tx.QueryRow(ctx, beginGenerationSQL, p.Name(), f.state).Scan(&number); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, startOverSQL, p.Name(), f.generation, number)
		return err
	})
}

// endOperation writes down how an operation went, where there is one.
func (s *store) endOperation(ctx context.Context, tx pgx.Tx, f *feeding, state OperationState, problem string, found *Verification) error {
	var report []byte
	if found != nil {
		var err error
		if report, err = json.Marshal(found); err != nil {
			return fmt.Errorf("end operation: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, endOperationSQL, s.name, f.generation, state, problem, report); err != nil {
		return fmt.Errorf("end operation: %w", err)
	}
	return nil
}
