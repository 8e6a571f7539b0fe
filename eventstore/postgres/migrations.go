package postgres

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the schema that Migrations build.
const Schema = "log"

// Migrations are the goose migrations of schema log, at the root of the file system.
func Migrations() fs.FS {
	files, _ := fs.Sub(migrations, "migrations") // fails for an invalid path only
	return files
}
