package avatars

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	//go:embed queries/avatar_of.sql
	avatarOf string
	//go:embed queries/lock.sql
	lock string
	//go:embed queries/forget.sql
	forget string
)

// Rows reads the rows that serve, and forgets those of people who were erased.
type Rows struct{ pool *pgxpool.Pool }

// NewRows reads from identity's database.
func NewRows(pool *pgxpool.Pool) *Rows { return &Rows{pool} }

// AvatarOf names a person's picture; empty without one.
func (r *Rows) AvatarOf(ctx context.Context, userID string) (string, error) {
	var avatar string
	err := r.pool.QueryRow(ctx, avatarOf, Name, userID).Scan(&avatar)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look up avatar: %w", err)
	}
	return avatar, nil
}

// Forget deletes the rows of people whom the log already says to be erased, in
// every generation. It waits for batches under way, which may not know it yet;
// each later one does.
func (r *Rows) Forget(ctx context.Context, erased []uuid.UUID) error {
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forget, erased)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget avatars: %w", err)
	}
	return nil
}
