package database

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/secret"
)

// RuntimeGroup is the role that migrations grant to; each service's run-time
// role is a member of it, and CONNECT keeps each in its own database.
const RuntimeGroup = "muster_runtime"

// provisionLock serialises provisioning across processes: CREATE ROLE and
// CREATE DATABASE have no IF NOT EXISTS that is safe against a race.
const provisionLock = 0x6d757374 // "must"

// Login is a role that can sign in.
type Login struct {
	Name     string
	Password secret.String
}

// Spec says what a service needs on a server.
type Spec struct {
	// Database is its name.
	Database string
	// Owner owns the database and its schemas, and runs migrations.
	Owner Login
	// Runtime reads and writes rows.
	Runtime Login
	// Schemas to make, owned by Owner.
	Schemas []string
	// OwnerCreates lets the owner create databases. It is for a service that makes
	// its database anew when that is lost: see Keeper.
	OwnerCreates bool
}

// URLs are the addresses that a service is configured with.
type URLs struct {
	Owner   secret.String
	Runtime secret.String
}

// Provision makes the roles, the database and its schemas where they are
// missing and sets both passwords. admin is the URL of a role that may create
// roles and databases. It may be repeated.
func Provision(ctx context.Context, admin secret.String, spec Spec) (URLs, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	urls, err := provision(ctx, admin, spec)
	if err != nil {
		return URLs{}, fmt.Errorf("provision database %s: %w", spec.Database, err)
	}
	return urls, nil
}

func provision(ctx context.Context, admin secret.String, spec Spec) (URLs, error) {
	conn, err := pgx.Connect(ctx, admin.Reveal())
	if err != nil {
		return URLs{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, provisionLock); err != nil {
		return URLs{}, err
	}
	if err := ensureRole(ctx, conn, RuntimeGroup, "NOLOGIN"); err != nil {
		return URLs{}, err
	}
	for _, login := range []Login{spec.Owner, spec.Runtime} {
		if err := ensureRole(ctx, conn, login.Name, "LOGIN"); err != nil {
			return URLs{}, err
		}
		// ALTER ROLE takes no parameters, so the server quotes both for us.
		var alter string
		if err := conn.QueryRow(ctx, `SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)`, login.Name, login.Password.Reveal()).Scan(&alter); err != nil {
			return URLs{}, err
		}
		if _, err := conn.Exec(ctx, alter); err != nil {
			return URLs{}, fmt.Errorf("set the password of role %s: %w", login.Name, err)
		}
	}
	if spec.OwnerCreates {
		if _, err := conn.Exec(ctx, `ALTER ROLE `+quote(spec.Owner.Name)+` CREATEDB`); err != nil {
			return URLs{}, fmt.Errorf("let role %s create databases: %w", spec.Owner.Name, err)
		}
	}
	if _, err := conn.Exec(ctx, `GRANT `+quote(RuntimeGroup)+` TO `+quote(spec.Runtime.Name)); err != nil {
		return URLs{}, err
	}
	// Who is no superuser has to be a member of the role that it gives a database to.
	if _, err := conn.Exec(ctx, `GRANT `+quote(spec.Owner.Name)+` TO CURRENT_USER`); err != nil {
		return URLs{}, err
	}
	if err := createDatabase(ctx, conn, spec.Database, spec.Owner.Name); err != nil {
		return URLs{}, err
	}
	if err := confine(ctx, conn, spec.Database, spec.Owner.Name, spec.Runtime.Name); err != nil {
		return URLs{}, err
	}
	urls := URLs{}
	if urls.Owner, err = login(admin, spec.Database, spec.Owner); err != nil {
		return URLs{}, err
	}
	if urls.Runtime, err = login(admin, spec.Database, spec.Runtime); err != nil {
		return URLs{}, err
	}
	as, err := pgx.Connect(ctx, urls.Owner.Reveal())
	if err != nil {
		return URLs{}, err
	}
	defer as.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	return urls, makeSchemas(ctx, as, spec.Schemas)
}

// createDatabase creates a database where it is missing. The caller holds the
// provision lock.
func createDatabase(ctx context.Context, conn *pgx.Conn, name, owner string) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists {
		return err
	}
	_, err := conn.Exec(ctx, `CREATE DATABASE `+quote(name)+` OWNER `+quote(owner))
	return err
}

// confine lets the two roles of a service into its database, and nobody else.
func confine(ctx context.Context, conn *pgx.Conn, name, owner, runtime string) error {
	for _, statement := range []string{
		`REVOKE ALL ON DATABASE ` + quote(name) + ` FROM PUBLIC`,
		`GRANT CONNECT ON DATABASE ` + quote(name) + ` TO ` + quote(owner) + `, ` + quote(runtime),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("say who may enter: %w", err)
		}
	}
	return nil
}

// makeSchemas makes the schemas that are missing, as the owner. No schema is
// seen before it may be used.
func makeSchemas(ctx context.Context, conn *pgx.Conn, schemas []string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, provisionLock); err != nil {
			return err
		}
		for _, schema := range schemas {
			if err := makeSchema(ctx, tx, schema); err != nil {
				return fmt.Errorf("make schema %s: %w", schema, err)
			}
		}
		return nil
	})
}

// makeSchema looks first: CREATE SCHEMA IF NOT EXISTS asks for the right to
// create one also where there is nothing to create.
func makeSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA `+quote(schema)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `GRANT USAGE ON SCHEMA `+quote(schema)+` TO `+quote(RuntimeGroup))
	return err
}

func ensureRole(ctx context.Context, conn *pgx.Conn, name, option string) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, name).Scan(&exists); err != nil {
		return err
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE ROLE `+quote(name)+` `+option); err != nil {
		return fmt.Errorf("create role %s: %w", name, err)
	}
	return nil
}

// login is the admin's address with another role and database.
func login(admin secret.String, database string, as Login) (secret.String, error) {
	address, err := url.Parse(admin.Reveal())
	if err != nil {
		return secret.String{}, fmt.Errorf("the administrator's database URL is not a URL") // its text holds the password
	}
	address.User = url.UserPassword(as.Name, as.Password.Reveal())
	address.Path = "/" + database
	return secret.New(address.String()), nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
