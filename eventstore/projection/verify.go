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
	//go:embed queries/columns.sql
	columnsSQL string
	//go:embed queries/count_differences.sql
	countDifferencesSQL string
	//go:embed queries/differences.sql
	differencesSQL string
)

const (
	// maxDifferences is how many rows that differ are told one by one.
	maxDifferences = 1000
	// redacted stands for a value that is shown to nobody.
	redacted = "[redacted]"
)

// compare compares the rows of two generations, table by table. It sees one
// moment, that of the transaction, which has to be repeatable read. The database
// does the work, and gives only rows that differ: memory does not grow with the
// tables.
func compare(ctx context.Context, tx pgx.Tx, tables []Table, serving, rebuilt int64) (Verification, error) {
	// Times read the same wherever the report was made.
	if _, err := tx.Exec(ctx, `SET LOCAL TIME ZONE 'UTC'`); err != nil {
		return Verification{}, fmt.Errorf("compare rows: %w", err)
	}
	var found Verification
	for _, table := range tables {
		c, err := newComparison(ctx, tx, table)
		if err != nil {
			return Verification{}, fmt.Errorf("compare rows of %s: %w", table.Name, err)
		}
		var rows, differing int64
		if err := tx.QueryRow(ctx, c.fill(countDifferencesSQL), serving, rebuilt).Scan(&rows, &differing); err != nil {
			return Verification{}, fmt.Errorf("compare rows of %s: count: %w", table.Name, err)
		}
		found.Rows += rows
		found.Differing += differing
		if differing == 0 || len(found.Differences) == maxDifferences {
			continue
		}
		differences, err := c.differences(ctx, tx, serving, rebuilt, maxDifferences-len(found.Differences))
		if err != nil {
			return Verification{}, fmt.Errorf("compare rows of %s: %w", table.Name, err)
		}
		found.Differences = append(found.Differences, differences...)
	}
	return found, nil
}

// comparison of a table's rows in two generations.
type comparison struct {
	table Table
	// columns beside the generation and the key.
	columns []string
}

func newComparison(ctx context.Context, tx pgx.Tx, table Table) (*comparison, error) {
	rows, err := tx.Query(ctx, columnsSQL, quoted(table.Name))
	if err != nil {
		return nil, fmt.Errorf("look up columns: %w", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look up columns: %w", err)
	}
	// A column that is misspelt here would be shown.
	for _, column := range slices.Concat(table.Key, table.Sensitive) {
		if !slices.Contains(columns, column) {
			return nil, fmt.Errorf("there is no column %s", column)
		}
	}
	columns = slices.DeleteFunc(columns, func(column string) bool {
		return column == "generation" || slices.Contains(table.Key, column)
	})
	return &comparison{table, columns}, nil
}

// fill puts the table and its columns into a statement. They are the program's
// and the database's own, never anybody's input.
func (c *comparison) fill(statement string) string {
	key := each(c.table.Key, func(column string) string { return column })
	keyValues := each(c.table.Key, func(column string) string { return column + "::text" })
	differs := each(c.columns, func(column string) string { return "s." + column + " IS DISTINCT FROM r." + column })
	differ := "false"
	if len(differs) > 0 {
		differ = "(" + strings.Join(differs, " OR ") + ")"
	}
	// What is sensitive does not even leave the database.
	value := func(of string) []string {
		values := each(c.columns, func(column string) string { return "to_jsonb(" + of + "." + column + ")::text" })
		for i, column := range c.columns {
			if slices.Contains(c.table.Sensitive, column) {
				values[i] = "'" + redacted + "'"
			}
		}
		return values
	}
	list := func(parts []string) string { return strings.Join(parts, ", ") }
	return strings.NewReplacer(
		"{{table}}", quoted(c.table.Name), "{{key}}", list(key), "{{key_values}}", list(keyValues), "{{differ}}", differ,
		"{{differs}}", list(differs), "{{serving}}", list(value("s")), "{{rebuilt}}", list(value("r")),
	).Replace(statement)
}

// each makes something of columns, with their names quoted.
func each(columns []string, of func(column string) string) []string {
	made := make([]string, len(columns))
	for i, column := range columns {
		made[i] = of(pgx.Identifier{column}.Sanitize())
	}
	return made
}

// differences are the first rows that differ, in the order of the key.
func (c *comparison) differences(ctx context.Context, tx pgx.Tx, serving, rebuilt int64, limit int) ([]Difference, error) {
	rows, err := tx.Query(ctx, c.fill(differencesSQL), serving, rebuilt, limit)
	if err != nil {
		return nil, fmt.Errorf("read differences: %w", err)
	}
	var found []Difference
	var key []string
	var inServing, inRebuilt bool
	var differs []bool
	var before, after []*string
	_, err = pgx.ForEachRow(rows, []any{&key, &inServing, &inRebuilt, &differs, &before, &after}, func() error {
		difference := Difference{Table: c.table.Name, Key: c.keyOf(key), Kind: Changed}
		switch {
		case !inRebuilt:
			difference.Kind = Surplus
		case !inServing:
			difference.Kind = Missing
		default:
			for i, column := range c.columns {
				if differs[i] {
					difference.Columns = append(difference.Columns, ColumnDifference{column, orNull(before[i]), orNull(after[i])})
				}
			}
		}
		found = append(found, difference)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read differences: %w", err)
	}
	return found, nil
}

func (c *comparison) keyOf(values []string) string {
	parts := make([]string, len(values))
	for i, value := range values {
		parts[i] = c.table.Key[i] + "=" + value
	}
	return strings.Join(parts, ", ")
}

// orNull is JSON's null for the database's.
func orNull(value *string) string {
	if value == nil {
		return "null"
	}
	return *value
}
