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

// Write carries statements out, one after the other, in one message. doing says
// for what, in the error.
func Write(ctx context.Context, tx pgx.Tx, doing string, statements ...Statement) error {
	var batch pgx.Batch
	for _, s := range statements {
		if s.Rows > 0 {
			batch.Queue(s.SQL, s.Arguments...)
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
