// Package migrations holds the migrations of schema keyring.
package migrations

import "embed"

// Files are goose SQL migrations.
//
//go:embed *.sql
var Files embed.FS
