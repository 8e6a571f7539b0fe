package database

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// openSQL tells whether a database that is ours lets in others than it should.
// Where it is somebody else's, they say who may connect.
//
//go:embed queries/open.sql
var openSQL string

// maintenance is the database that is there before any other, to create others from.
const maintenance = "postgres"

// makeTimeout bounds the making of a database and its schemas.
const makeTimeout = time.Minute

// NotAllowedError says what a service may not do for itself, and what an
// administrator has to do for it.
type NotAllowedError struct {
	// Role that may not, and what.
	Role, What string
	// Remedy is what an administrator has to run, in SQL.
	Remedy string
	cause  error
}

// Error tells both.
func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("role %s may not %s; an administrator has to run: %s (%v)", e.Role, e.What, e.Remedy, e.cause)
}

// Unwrap is what PostgreSQL said.
func (e *NotAllowedError) Unwrap() error { return e.cause }

// Make makes what is missing of a database that can be made from nothing, as its
// owner: the database itself, its schemas, its tables. The roles have to be
// there. An error may be a *NotAllowedError.
//
// It is for databases that hold nothing but what can be made again. That the
// database of an event log is lost has to be seen: to make an empty one in its
// place would make every projection forget, and begin new histories under
// positions that were given out.
func Make(ctx context.Context, urls URLs, sets ...Migrations) error {
	if err := makeDatabase(ctx, urls, sets); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	return Migrate(ctx, urls.Owner, sets...)
}

func makeDatabase(ctx context.Context, urls URLs, sets []Migrations) error {
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	owner, err := pgx.ParseConfig(urls.Owner.Reveal())
	if err != nil {
		return fmt.Errorf("the owner's URL is not valid") // its text holds the password
	}
	runtime, err := pgx.ParseConfig(urls.Runtime.Reveal())
	if err != nil {
		return fmt.Errorf("the run-time role's URL is not valid")
	}
	conn, err := pgx.ConnectConfig(ctx, owner)
	if code(err) == noDatabase {
		if err := createAsOwner(ctx, owner); err != nil {
			return err
		}
		conn, err = pgx.ConnectConfig(ctx, owner)
	}
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	// One replica at a time: PostgreSQL fails whoever grants at once with another.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, provisionLock); err != nil {
		return err
	}
	var open bool
	if err := conn.QueryRow(ctx, openSQL, runtime.User).Scan(&open); err != nil {
		return err
	}
	if open {
		if err := confine(ctx, conn, owner.Database, owner.User, runtime.User); err != nil {
			return err
		}
	}
	err = makeSchemas(ctx, conn, schemasOf(sets))
	if code(err) == notAllowed {
		return &NotAllowedError{
			Role: owner.User, What: "make schemas in database " + owner.Database,
			Remedy: `ALTER DATABASE ` + quote(owner.Database) + ` OWNER TO ` + quote(owner.User), cause: err,
		}
	}
	return err
}

// createAsOwner creates the owner's database, which has to have the right to.
func createAsOwner(ctx context.Context, owner *pgx.ConnConfig) error {
	refused := func(what string, err error) error {
		return &NotAllowedError{
			Role: owner.User, What: what,
			Remedy: `CREATE DATABASE ` + quote(owner.Database) + ` OWNER ` + quote(owner.User), cause: err,
		}
	}
	elsewhere := owner.Copy()
	elsewhere.Database = maintenance
	conn, err := pgx.ConnectConfig(ctx, elsewhere)
	if code(err) == notAllowed || code(err) == noDatabase {
		return refused("enter database "+maintenance+" to create "+owner.Database, err)
	}
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, provisionLock); err != nil {
		return err
	}
	err = createDatabase(ctx, conn, owner.Database, owner.User)
	if code(err) == notAllowed {
		return refused("create database "+owner.Database, err)
	}
	return err
}

// schemasOf are those that the migrations build, each once.
func schemasOf(sets []Migrations) []string {
	var schemas []string
	seen := make(map[string]bool, len(sets))
	for _, set := range sets {
		if !seen[set.Schema] {
			seen[set.Schema] = true
			schemas = append(schemas, set.Schema)
		}
	}
	return schemas
}
