package postgres

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed queries/epoch_current.sql
var epochCurrentSQL string

//go:embed queries/epoch_incarnation.sql
var epochIncarnationSQL string

//go:embed queries/epoch_start.sql
var epochStartSQL string

// epochLock is the advisory lock under which epochs begin.
const epochLock = 0x6d75737465720001 // "muster", 1

// incarnation is where transaction ids mean the same thing.
type incarnation struct {
	system   int64
	timeline int32
	events   uint32
}

// enterEpoch gives the epoch of the incarnation that the pool reaches, and the
// last offset of former ones. Processes that begin one wait for one another.
func enterEpoch(ctx context.Context, pool *pgxpool.Pool) (epoch, start int64, err error) {
	epoch, start, entered, err := currentEpoch(ctx, pool)
	if err != nil || entered {
		return epoch, start, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(epochLock)); err != nil {
			return err
		}
		if epoch, start, entered, err = currentEpoch(ctx, tx); err != nil || entered {
			return err
		}
		here, err := whichIncarnation(ctx, tx)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, epochStartSQL, here.system, here.timeline, here.events).Scan(&epoch, &start)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("begin an epoch: %w", err)
	}
	return epoch, start, nil
}

func currentEpoch(ctx context.Context, db querier) (epoch, start int64, entered bool, err error) {
	var seen incarnation
	err = db.QueryRow(ctx, epochCurrentSQL).Scan(&epoch, &seen.system, &seen.timeline, &seen.events, &start)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("read the epoch: %w", err)
	}
	here, err := whichIncarnation(ctx, db)
	if err != nil {
		return 0, 0, false, err
	}
	return epoch, start, seen == here, nil
}

func whichIncarnation(ctx context.Context, db querier) (incarnation, error) {
	var here incarnation
	if err := db.QueryRow(ctx, epochIncarnationSQL).Scan(&here.system, &here.timeline, &here.events); err != nil {
		return incarnation{}, fmt.Errorf("read the log's incarnation: %w", err)
	}
	return here, nil
}
