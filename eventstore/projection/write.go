package projection

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Statement is one of those that write a batch: one for all rows of a kind.
type Statement struct {
	// SQL of it.
	SQL string
	// Rows that it is about. Without any it is left out.
	Rows int
	// Arguments of it.
	Arguments []any
}

// Write carries statements out, one after the other. doing says for what, in the
// error.
func Write(ctx context.Context, tx pgx.Tx, doing string, statements ...Statement) error {
	for _, s := range statements {
		if s.Rows == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, s.SQL, s.Arguments...); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}
