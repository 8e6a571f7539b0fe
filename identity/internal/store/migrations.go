package store

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/platform/database"
)

//go:embed migrations
var migrations embed.FS

// Migrations of identity's database: its log, what is read from that and from
// media's, and what every projection keeps.
func Migrations() ([]database.Migrations, error) {
	read, err := fs.Sub(migrations, "migrations/read")
	if err != nil {
		return nil, fmt.Errorf("migrations of identity: %w", err)
	}
	return []database.Migrations{
		{Schema: postgres.Schema, Files: postgres.Migrations()},
		{Schema: "read", Part: "projection_", Files: projection.Migrations},
		{Schema: "read", Files: read},
	}, nil
}
