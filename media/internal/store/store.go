package store

import (
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
)

//go:embed migrations
var migrations embed.FS

var (
	// ErrNotFound means that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrDoomed means that the object is to be deleted: none can take its place.
	ErrDoomed = errors.New("object is to be deleted")
)

// Grace is how long after a window has closed somebody may still be writing who
// began in time: only then may a row go. It also covers clocks that differ.
const Grace = 10 * time.Minute

// Migrations of the whole database.
func Migrations() ([]database.Migrations, error) {
	sets := []database.Migrations{
		{Schema: postgres.Schema, Files: postgres.Migrations()},
		{Schema: "read", Part: "projection_", Files: projection.Migrations},
	}
	for _, schema := range []string{"read", "storage"} {
		files, err := fs.Sub(migrations, "migrations/"+schema)
		if err != nil {
			return nil, err
		}
		sets = append(sets, database.Migrations{Schema: schema, Files: files})
	}
	return sets, nil
}

// Store reads and writes the database.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New takes the pool of the run-time role, and the clock.
func New(pool *pgxpool.Pool, now func() time.Time) *Store { return &Store{pool: pool, now: now} }
