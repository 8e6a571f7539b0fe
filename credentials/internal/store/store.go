package store

import (
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/platform/database"
)

//go:embed migrations
var migrations embed.FS

var (
	// ErrNotFound means that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrIncomplete means that the rows of accounts were never complete since the
	// database was made: who is not in them may come yet, and who is may be as they
	// were long ago.
	ErrIncomplete = errors.New("accounts are being made from the log")
)

// Migrations of the database, without those that eventstore/projection brings.
func Migrations() ([]database.Migrations, error) {
	var sets []database.Migrations
	for _, schema := range []string{"read", "sessions"} {
		files, err := fs.Sub(migrations, "migrations/"+schema)
		if err != nil {
			return nil, err
		}
		sets = append(sets, database.Migrations{Schema: schema, Files: files})
	}
	return sets, nil
}

// Store reads and writes the database.
type Store struct{ pool *pgxpool.Pool }

// New takes the pool of the run-time role.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }
