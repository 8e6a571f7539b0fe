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
	owner, runtime := quote(spec.Owner.Name), quote(spec.Runtime.Name)
	if _, err := conn.Exec(ctx, `GRANT `+quote(RuntimeGroup)+` TO `+runtime); err != nil {
		return URLs{}, err
	}
	// Who is no superuser has to be a member of the role that it gives a database to.
	if _, err := conn.Exec(ctx, `GRANT `+owner+` TO CURRENT_USER`); err != nil {
		return URLs{}, err
	}
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, spec.Database).Scan(&exists); err != nil {
		return URLs{}, err
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+quote(spec.Database)+` OWNER `+owner); err != nil {
			return URLs{}, err
		}
	}
	for _, statement := range []string{
		`REVOKE ALL ON DATABASE ` + quote(spec.Database) + ` FROM PUBLIC`,
		`GRANT CONNECT ON DATABASE ` + quote(spec.Database) + ` TO ` + owner + `, ` + runtime,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return URLs{}, err
		}
	}
	urls := URLs{}
	if urls.Owner, err = login(admin, spec.Database, spec.Owner); err != nil {
		return URLs{}, err
	}
	if urls.Runtime, err = login(admin, spec.Database, spec.Runtime); err != nil {
		return URLs{}, err
	}
	return urls, makeSchemas(ctx, urls.Owner, spec.Schemas)
}

func makeSchemas(ctx context.Context, ownerURL secret.String, schemas []string) error {
	conn, err := pgx.Connect(ctx, ownerURL.Reveal())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	for _, schema := range schemas {
		for _, statement := range []string{
			`CREATE SCHEMA IF NOT EXISTS ` + quote(schema),
			`GRANT USAGE ON SCHEMA ` + quote(schema) + ` TO ` + quote(RuntimeGroup),
		} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("make schema %s: %w", schema, err)
			}
		}
	}
	return nil
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
