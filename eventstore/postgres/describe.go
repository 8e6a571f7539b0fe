package postgres

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
)

//go:embed queries/epochs.sql
var epochsSQL string

//go:embed queries/last_event.sql
var lastEventSQL string

// Describe tells what has happened to the log.
func (l *Log) Describe(ctx context.Context) (eventstore.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return eventstore.Description{}, fmt.Errorf("describe log: %w", err)
	}
	defer conn.Release()
	told := eventstore.Description{Log: l.name}
	var occurred time.Time
	switch err := conn.QueryRow(ctx, lastEventSQL).Scan(&told.LastOffset, &occurred); {
	case err == nil:
		told.LastEventAt = occurred.UTC()
	case !errors.Is(err, pgx.ErrNoRows):
		return eventstore.Description{}, fmt.Errorf("describe log: %w", err)
	}
	rows, err := conn.Query(ctx, epochsSQL)
	if err != nil {
		return eventstore.Description{}, fmt.Errorf("describe log: %w", err)
	}
	told.Epochs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[eventstore.Epoch])
	if err != nil {
		return eventstore.Description{}, fmt.Errorf("describe log: %w", err)
	}
	return told, nil
}
