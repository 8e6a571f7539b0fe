package database

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/muster-id/muster/platform/secret"
)

// Migrations of one schema, or of one part of it. The table of what has run
// stands in the schema.
type Migrations struct {
	// Schema that they build, for example "log".
	Schema string
	// Part tells two sets of one schema apart; empty where there is one set only.
	Part string
	// Files are goose SQL migrations, NNNNN_name.sql, at the root.
	Files fs.FS
}

// table of what has run.
func (m Migrations) table() string { return m.Schema + "." + m.Part + "migrations" }

// Migrate brings schemas to their newest version as the owner, one process at a
// time: a second waits for the first.
func Migrate(ctx context.Context, owner secret.String, sets ...Migrations) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	config, err := pgx.ParseConfig(owner.Reveal())
	if err != nil {
		return fmt.Errorf("migrate: the owner's database URL is not valid") // its text holds the password
	}
	db := stdlib.OpenDB(*config)
	defer db.Close() //nolint:errcheck // nothing is pending
	for _, set := range sets {
		// Who waits looks every second, for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return fmt.Errorf("migrate schema %s: %w", set.Schema, err)
		}
		provider, err := goose.NewProvider(goose.DialectPostgres, db, set.Files,
			goose.WithTableName(set.table()), goose.WithSessionLocker(locker))
		if err != nil {
			return fmt.Errorf("migrate schema %s: %w", set.Schema, err)
		}
		if _, err := provider.Up(ctx); err != nil {
			return fmt.Errorf("migrate schema %s: %w", set.Schema, err)
		}
	}
	return nil
}
