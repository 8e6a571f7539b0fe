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
			tag, err := p.pool.Exec(ctx, statement, f.generation, deleteLimit)
			if err != nil {
				return fmt.Errorf("delete rows of %s: %w", table.Name, err)
			}
			if tag.RowsAffected() < deleteLimit {
				break
			}
		}
	}
	last := ""
	for {
		if err := p.pool.QueryRow(ctx, deleteAppliedSQL, p.Name(), f.generation, last, deleteLimit).Scan(&last); err != nil {
			return fmt.Errorf("delete applied versions: %w", err)
		}
		if last == "" {
			break
		}
	}
	for _, statement := range []string{deleteParkedSQL, forgetGenerationSQL} {
		if _, err := p.pool.Exec(ctx, statement, p.Name(), f.generation); err != nil {
			return fmt.Errorf("delete generation: %w", err)
		}
	}
	p.logger.InfoContext(ctx, "a generation is deleted", "generation", f.generation)
	return nil
}

// quoted is a table's name with its schema, as SQL writes it.
func quoted(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }
