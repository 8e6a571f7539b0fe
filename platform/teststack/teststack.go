// Package teststack gives a test its own database, virtual host and bucket on
// the real servers that `go tool task test` has started. It reads their
// addresses from the environment and fails, never skips, without them.
package teststack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
)

// The environment that `muster stack run` sets.
const (
	// PostgresEnv is the URL of a superuser.
	PostgresEnv = "MUSTER_TEST_POSTGRES_URL"
	// BrokerEnv is the AMQP URL of an administrator, virtual host /.
	BrokerEnv = "MUSTER_TEST_AMQP_URL"
	// BrokerAPIEnv is the address of RabbitMQ's management API, with user and password.
	BrokerAPIEnv = "MUSTER_TEST_RABBITMQ_API"
)

// Admin is the superuser's URL.
func Admin(t testing.TB) secret.String { return secret.New(address(t, PostgresEnv)) }

// Database makes a fresh database, migrated, for one test or test package: a
// copy of a template that the first test with these migrations makes. It is
// dropped at the end. Schemas are those of the migrations.
func Database(t testing.TB, sets ...database.Migrations) database.URLs {
	t.Helper()
	ctx := t.Context()
	admin := secret.New(address(t, PostgresEnv))
	spec := database.Spec{
		Owner:   database.Login{Name: "muster_test_owner", Password: secret.New("muster_test_owner")},
		Runtime: database.Login{Name: "muster_test", Password: secret.New("muster_test")},
		// So that a service which must not make its database again is seen not to.
		OwnerCreates: true,
	}
	for _, set := range sets {
		spec.Schemas = append(spec.Schemas, set.Schema)
	}
	conn := connect(ctx, t, admin)
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending

	template := "muster_template_" + fingerprint(t, sets)
	// One test package makes the template, the others wait for it. The lock is
	// the session's, so it is let go with the connection.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, template); err != nil {
		t.Fatalf("lock template database: %v", err)
	}
	var ready bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`, template).Scan(&ready); err != nil {
		t.Fatalf("look for template database: %v", err)
	}
	if !ready {
		if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+template); err != nil {
			t.Fatalf("drop half-made template database: %v", err)
		}
		spec.Database = template
		urls, err := database.Provision(ctx, admin, spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := database.Migrate(ctx, urls.Owner, sets...); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, `ALTER DATABASE `+template+` IS_TEMPLATE true ALLOW_CONNECTIONS false`); err != nil {
			t.Fatalf("finish template database: %v", err)
		}
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtext($1))`, template); err != nil {
		t.Fatalf("unlock template database: %v", err)
	}

	spec.Database = "muster_test_" + random()
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+spec.Database+` TEMPLATE `+template+` OWNER `+spec.Owner.Name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		conn := connect(ctx, t, admin)
		defer conn.Close(ctx) //nolint:errcheck // nothing is pending
		if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+spec.Database+` WITH (FORCE)`); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	urls, err := database.Provision(ctx, admin, spec)
	if err != nil {
		t.Fatal(err)
	}
	return urls
}

// VirtualHost makes a virtual host for one test or test package and gives its
// AMQP URL. It is deleted at the end.
func VirtualHost(t testing.TB) string {
	t.Helper()
	broker, err := url.Parse(address(t, BrokerEnv))
	if err != nil {
		t.Fatalf("%s is not a URL", BrokerEnv)
	}
	name := "muster-test-" + random()
	manage(t, http.MethodPut, "/api/vhosts/"+name, "")
	t.Cleanup(func() { manage(t, http.MethodDelete, "/api/vhosts/"+name, "") })
	user := url.PathEscape(broker.User.Username())
	manage(t, http.MethodPut, "/api/permissions/"+name+"/"+user, `{"configure":".*","write":".*","read":".*"}`)
	broker.Path = "/" + name
	return broker.String()
}

// CloseConnections cuts every AMQP connection to a virtual host, as a failing
// network would, and tells how many there were.
func CloseConnections(t testing.TB, amqpURL string) int {
	t.Helper()
	broker, err := url.Parse(amqpURL)
	if err != nil {
		t.Fatal("not an AMQP URL")
	}
	names := connections(t, strings.TrimPrefix(broker.Path, "/"))
	for _, name := range names {
		manage(t, http.MethodDelete, "/api/connections/"+url.PathEscape(name), "")
	}
	return len(names)
}

func connect(ctx context.Context, t testing.TB, admin secret.String) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, admin.Reveal())
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	return conn
}

func address(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run `go tool task test`, or `go tool task stack -- go test ./...` for a part", name)
	}
	return value
}

func fingerprint(t testing.TB, sets []database.Migrations) string {
	t.Helper()
	hash := sha256.New()
	for _, set := range sets {
		_, _ = fmt.Fprintf(hash, "schema %s %s\n", set.Schema, set.Part)
		err := fs.WalkDir(set.Files, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(set.Files, path)
			_, _ = fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
			return err
		})
		if err != nil {
			t.Fatalf("read migrations: %v", err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

func random() string {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return hex.EncodeToString(bytes[:])
}
