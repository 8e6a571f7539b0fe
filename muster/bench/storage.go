package main

import (
	"context"
	_ "embed" // the statements
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// storageAim is how many bytes an event may take, its share of the indexes
// included.
const storageAim = 1100

//go:embed queries/storage.sql
var storageSQL string

//go:embed queries/column_sizes.sql
var columnSizesSQL string

// measureStorage tells what an event takes on disk, part by part.
func measureStorage(ctx context.Context, b *bench) error {
	w, err := b.open(ctx, b.world != nil && b.world.broker)
	if err != nil {
		return err
	}
	// More events do not change it, so it takes the log as it is, or some.
	size := b.Sizes[min(1, len(b.Sizes)-1)]
	if b.Quick {
		size = b.Sizes[0]
	}
	events, err := b.fillTo(ctx, w, size)
	if err != nil {
		return err
	}
	if err := w.tidy(ctx, "identity"); err != nil {
		return err
	}
	conn, err := w.asAdmin(ctx, "identity")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	stored, err := partsOf(ctx, conn, storageSQL)
	if err != nil {
		return err
	}
	columns, err := partsOf(ctx, conn, columnSizesSQL)
	if err != nil {
		return err
	}
	each := float64(stored.sum()) / float64(events)
	b.add(row{
		what: fmt.Sprintf("bytes an event, table and indexes, of %s", count(float64(events))), rival: "what is aimed at",
		ratio: sample{each / storageAim}, reach: atMost(1),
		ours: absolute{sample{each}, bytesOf}, theirs: absolute{sample{storageAim}, bytesOf},
	})
	b.note("Bytes an event: %s. In a row on average: %s; the rest is what PostgreSQL keeps of each row and page.", stored.each(events), columns.each(1))
	return nil
}

// part of what is stored, in bytes.
type part struct {
	name string
	size float64
}

type parts []part

func partsOf(ctx context.Context, conn *pgx.Conn, statement string) (parts, error) {
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return nil, fmt.Errorf("measure what is stored: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p part, err error) {
		return p, row.Scan(&p.name, &p.size)
	})
	if err != nil {
		return nil, fmt.Errorf("measure what is stored: %w", err)
	}
	return found, nil
}

func (p parts) sum() (total float64) {
	for _, one := range p {
		total += one.size
	}
	return total
}

// each tells the parts of one of n things.
func (p parts) each(n int64) string {
	texts := make([]string, len(p))
	for i, one := range p {
		texts[i] = fmt.Sprintf("%s %.0f", one.name, one.size/float64(n))
	}
	return strings.Join(texts, ", ")
}
