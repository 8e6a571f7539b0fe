package projection

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed queries/delete_rows.sql
	deleteRowsSQL string
	//go:embed queries/delete_applied.sql
	deleteAppliedSQL string
	//go:embed queries/delete_parked.sql
	deleteParkedSQL string
	//go:embed queries/forget_generation.sql
	forgetGenerationSQL string
)

// deleteLimit is how many rows of a generation go in one transaction.
const deleteLimit = 5000

// deleteGeneration deletes a generation's rows part by part, and at last the
// generation itself, so that whoever is interrupted begins anew.
func (p *Projector) deleteGeneration(ctx context.Context, f *feeding) error {
	// What refers to a table before it goes first.
	for _, table := range slices.Backward(p.projection.Tables()) {
		statement := strings.ReplaceAll(deleteRowsSQL, "{{table}}", quoted(table.Name))
		for {
			var gone int64
			err := p.deletePart(ctx, f, func(tx pgx.Tx) error {
				tag, err := tx.Exec(ctx, statement, f.generation, deleteLimit)
				gone = tag.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("delete rows of %s: %w", table.Name, err)
			}
			if gone < deleteLimit {
				break
			}
		}
	}
	last := ""
	for {
		err := p.deletePart(ctx, f, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, deleteAppliedSQL, p.Name(), f.generation, last, deleteLimit).Scan(&last)
		})
		if err != nil {
			return fmt.Errorf("delete applied versions: %w", err)
		}
		if last == "" {
			break
		}
	}
	for _, statement := range []string{deleteParkedSQL, forgetGenerationSQL} {
		err := p.deletePart(ctx, f, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, statement, p.Name(), f.generation)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete generation: %w", err)
		}
	}
	p.logger.InfoContext(ctx, "a generation is deleted", "generation", f.generation)
	return nil
}

// deletePart deletes under the lease: in tables that were made anew, another
// generation has the number.
func (p *Projector) deletePart(ctx context.Context, f *feeding, part func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if err := p.store.lockGeneration(ctx, tx, f.place()); err != nil {
			return err
		}
		return part(tx)
	})
}

// quoted is a table's name with its schema, as SQL writes it.
func quoted(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }
