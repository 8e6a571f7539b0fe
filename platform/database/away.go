package database

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The SQLSTATEs of a database, a schema, a table or a column that is not there:
// of a table that is made before all of its migrations have run.
const (
	noDatabase = "3D000"
	noSchema   = "3F000"
	noTable    = "42P01"
	noColumn   = "42703"
	// notAllowed is also the answer of a database that was made again without
	// its grants.
	notAllowed = "42501"
)

// Lost tells whether an error says that the database, or something in it, is not
// there. In a service with a Keeper it will be.
func Lost(err error) bool {
	switch code(err) {
	case noDatabase, noSchema, noTable, noColumn:
		return true
	}
	return false
}

// Away tells whether an error says that the database does not answer, and
// nothing about the statement: it may be tried again later.
func Away(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false // the caller's doing
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return false // its statement may be at fault
	}
	var network *net.OpError
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) {
		return true
	}
	// Connections, resources, and what an operator does to a server.
	state := code(err)
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "57P")
}

// code is an error's SQLSTATE; empty where PostgreSQL has not answered.
func code(err error) string {
	var answered *pgconn.PgError
	if errors.As(err, &answered) {
		return answered.Code
	}
	return ""
}
