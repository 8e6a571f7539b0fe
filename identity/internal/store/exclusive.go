// Package store is what identity keeps beside its event log.
package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed queries/lock.sql
var lock string

// Exclusive lets one process at a time do something, by an advisory lock of the
// database that they share.
type Exclusive struct {
	pool *pgxpool.Pool
}

// NewExclusive makes one on identity's database.
func NewExclusive(pool *pgxpool.Pool) *Exclusive { return &Exclusive{pool} }

// Do runs do while it holds the lock of this name, for which it waits as long
// as the database's lock time-out. All the while it keeps a connection, beside
// those that do itself takes.
func (e *Exclusive) Do(ctx context.Context, name string, do func(context.Context) error) error {
	return pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock, name); err != nil {
			return fmt.Errorf("lock %s: %w", name, err)
		}
		return do(ctx)
	})
}
