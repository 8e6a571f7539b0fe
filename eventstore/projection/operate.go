package projection

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore/backoff"
)

var (
	//go:embed queries/begin_generation.sql
	beginGenerationSQL string
	//go:embed queries/begin_operation.sql
	beginOperationSQL string
	//go:embed queries/cancel_generation.sql
	cancelGenerationSQL string
	//go:embed queries/cancel_operation.sql
	cancelOperationSQL string
	//go:embed queries/drop_former.sql
	dropFormerSQL string
	//go:embed queries/return_former.sql
	returnFormerSQL string
	//go:embed queries/stay_former.sql
	stayFormerSQL string
	//go:embed queries/generations.sql
	generationsSQL string
	//go:embed queries/operation.sql
	operationSQL string
	//go:embed queries/running.sql
	runningSQL string
	//go:embed queries/count_parked.sql
	countParkedSQL string
)

const (
	// returnTime bounds how long Rollback waits for the former generation.
	returnTime = 15 * time.Second
	// returnInterval is how often it looks.
	returnInterval = 50 * time.Millisecond
)

// Rebuild begins to make the rows anew, to serve once they are complete. It does
// not wait for that. by is who asked: "user-<id>" or "service-<name>". Errors:
// *UnderWayError.
func (p *Projector) Rebuild(ctx context.Context, by string) (Operation, error) {
	return p.operate(ctx, Rebuild, Building, by)
}

// Verify begins to make the rows anew, to be compared with those that serve. It
// does not wait for that. Errors: *UnderWayError.
func (p *Projector) Verify(ctx context.Context, by string) (Operation, error) {
	return p.operate(ctx, Verify, Verifying, by)
}

func (p *Projector) operate(ctx context.Context, kind OperationKind, state GenerationState, by string) (Operation, error) {
	begun, err := p.tryOperate(ctx, kind, state, by)
	if errors.Is(err, ErrBusy) { // the one before has just ended
		begun, err = p.tryOperate(ctx, kind, state, by)
	}
	if err != nil {
		return Operation{}, fmt.Errorf("%s %s: %w", kind, p.Name(), err)
	}
	p.logger.InfoContext(ctx, "an operation begins", "kind", string(kind), "generation", begun.Generation, "by", by)
	p.nudge()
	return begun, nil
}

func (p *Projector) tryOperate(ctx context.Context, kind OperationKind, state GenerationState, by string) (Operation, error) {
	var begun Operation
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var number int64
		if err := tx.QueryRow(ctx, beginGenerationSQL, p.Name(), state).Scan(&number); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return errNotRegistered
			}
			return err
		}
		var err error
		begun, err = scanOperation(tx.QueryRow(ctx, beginOperationSQL, p.Name(), number, kind, by))
		return err
	})
	var refused *pgconn.PgError
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &refused) && refused.Code == "23505" {
		if err = p.underWay(ctx); err == nil {
			err = ErrBusy
		}
	}
	return begun, err
}

// underWay gives the operation that is under way, of whatever projection, as the
// error that refuses another one; nil where there is none.
func (p *Projector) underWay(ctx context.Context) error {
	running, err := scanOperation(p.pool.QueryRow(ctx, runningSQL))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return &UnderWayError{Operation: running}
}

// Cancel gives up the operation that is under way; what it has made is deleted
// in the background. Errors: ErrNothingUnderWay.
func (p *Projector) Cancel(ctx context.Context) error {
	var generation int64
	// The generation before the operation, as whoever feeds it locks them.
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// A large batch may take longer than any other lock is waited for.
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = 0`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, cancelGenerationSQL, p.Name()).Scan(&generation); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, cancelOperationSQL, p.Name(), generation)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNothingUnderWay
	}
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	p.logger.InfoContext(ctx, "an operation is given up", "generation", generation)
	p.nudge()
	return nil
}

// Drop has the former generation deleted, in the background, and gives its
// number. 0 means whichever that is. Errors: ErrNoFormer.
func (p *Projector) Drop(ctx context.Context, generation int64) (dropped int64, err error) {
	err = p.pool.QueryRow(ctx, dropFormerSQL, p.Name(), generation).Scan(&dropped)
	if errors.Is(err, pgx.ErrNoRows) {
		err = noFormer(generation)
	}
	if err != nil {
		return 0, fmt.Errorf("drop: %w", err)
	}
	p.nudge()
	return dropped, nil
}

// noFormer refuses what was meant; 0 means whichever is the former one.
func noFormer(meant int64) error {
	if meant == 0 {
		return ErrNoFormer
	}
	return &OtherFormerError{Generation: meant}
}

// Rollback lets the former generation serve again and gives its number once it
// does. 0 means whichever that is. Errors: ErrNoFormer, *UnderWayError, ErrBusy.
func (p *Projector) Rollback(ctx context.Context, generation int64) (serving int64, err error) {
	if serving, err = p.rollback(ctx, generation); err != nil {
		return 0, fmt.Errorf("roll back: %w", err)
	}
	return serving, nil
}

func (p *Projector) rollback(ctx context.Context, meant int64) (generation int64, err error) {
	err = p.pool.QueryRow(ctx, returnFormerSQL, p.Name(), meant).Scan(&generation)
	if errors.Is(err, pgx.ErrNoRows) {
		if err := p.underWay(ctx); err != nil {
			return 0, err
		}
		return 0, noFormer(meant)
	}
	if err != nil {
		return 0, err
	}
	p.nudge()
	// Whoever feeds it lets it serve, and that may be another process.
	bounded, cancel := context.WithTimeout(ctx, returnTime)
	defer cancel()
	for backoff.Sleep(bounded, returnInterval) == nil {
		at, _, err := p.store.serving(bounded)
		if err == nil && at.generation == generation {
			return generation, nil
		}
	}
	undone, cancelUndone := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
	defer cancelUndone()
	err = p.pool.QueryRow(undone, stayFormerSQL, p.Name(), generation).Scan(&generation)
	if !errors.Is(err, pgx.ErrNoRows) {
		return 0, errors.Join(ErrBusy, err)
	}
	at, _, err := p.store.serving(undone)
	if err == nil && at.generation != generation {
		err = ErrNoFormer // somebody has dropped it meanwhile
	}
	return generation, err // it serves after all
}

// Overview tells all that operators want to know.
func (p *Projector) Overview(ctx context.Context) (Overview, error) {
	overview := Overview{Log: p.log}
	// First, so that an operation that is done is not told with the generations of
	// before.
	var err error
	if overview.Operation, err = p.lastOperation(ctx); err != nil {
		return Overview{}, err
	}
	rows, err := p.pool.Query(ctx, generationsSQL, p.Name())
	if err != nil {
		return Overview{}, fmt.Errorf("list generations: %w", err)
	}
	overview.Generations, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Generation, error) {
		var one Generation
		err := row.Scan(&one.Number, &one.State, &one.BegunAt)
		if one.State == returning {
			one.State = Former
		}
		return one, err
	})
	if err != nil {
		return Overview{}, fmt.Errorf("list generations: %w", err)
	}
	if _, err := p.readTables(ctx); err != nil {
		return Overview{}, err
	}
	overview.Stats = p.Stats()
	return overview, nil
}

// lastOperation is nil where there was none.
func (p *Projector) lastOperation(ctx context.Context) (*Operation, error) {
	last, err := scanOperation(p.pool.QueryRow(ctx, operationSQL, p.Name()))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read operation: %w", err)
	}
	return &last, nil
}

// readTables reads what only the tables know: what is parked, and how far an
// operation is. It gives their incarnation.
func (p *Projector) readTables(ctx context.Context) (incarnation uuid.UUID, err error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	var generation, parked int64
	var oldest *time.Time
	err = p.pool.QueryRow(ctx, countParkedSQL, p.Name()).Scan(&incarnation, &generation, &parked, &oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, nil // not registered yet, or not any more
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("count parked events: %w", err)
	}
	last, err := p.lastOperation(ctx)
	if err != nil {
		return uuid.Nil, err
	}
	p.status.observed(generation, parked, oldest, last)
	return incarnation, nil
}

func scanOperation(row pgx.Row) (Operation, error) {
	var o Operation
	var finished *time.Time
	var report []byte
	err := row.Scan(&o.Projection, &o.Generation, &o.Kind, &o.State, &o.StartedAt, &o.StartedBy, &finished, &o.EventsDone, &o.EventsLeft,
		&o.Rate, &o.Problem, &report)
	if err != nil {
		return Operation{}, err
	}
	if finished != nil {
		o.FinishedAt = *finished
	}
	if report != nil {
		o.Verification = &Verification{}
		if err := json.Unmarshal(report, o.Verification); err != nil {
			return Operation{}, fmt.Errorf("read verification: %w", err)
		}
	}
	return o, nil
}

// rebuilder is who begins the rebuild in a new epoch.
const rebuilder = "service-projection"

// rebuildInNewEpoch begins a rebuild where the log has entered a new epoch: the
// rows may be ahead of a restored log, so nothing can be applied on top of them.
func (p *Projector) rebuildInNewEpoch(ctx context.Context, err error) {
	var entered *epochError
	if !errors.As(err, &entered) {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	// Where one is under way already, or cannot begin, there is another look soon.
	_, _ = p.Rebuild(bounded, rebuilder)
}
