package database_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

var ledger = database.Migrations{Schema: "ledger", Files: fstest.MapFS{
	"00001_entries.sql": {Data: []byte(`-- +goose Up
CREATE TABLE ledger.entries (id bigint PRIMARY KEY);
GRANT SELECT, INSERT ON ledger.entries TO muster_runtime;
`)},
}}

// The run-time role does what migrations granted, and nothing that alters a
// table or that was not granted.
func TestRuntimeRoleIsConfinedToItsGrants(t *testing.T) {
	t.Parallel()
	urls := teststack.Database(t, ledger)
	pool, err := database.Open(t.Context(), urls.Runtime, "ledger", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), `INSERT INTO ledger.entries (id) VALUES (1)`); err != nil {
		t.Errorf("granted insert: %v", err)
	}
	for _, statement := range []string{
		`UPDATE ledger.entries SET id = 2`,
		`DELETE FROM ledger.entries`,
		`ALTER TABLE ledger.entries ADD COLUMN more text`,
		`DROP TABLE ledger.entries`,
		`CREATE TABLE ledger.more (id bigint)`,
		`UPDATE ledger.migrations SET is_applied = false`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: got %v, want insufficient privilege", statement, err)
		}
	}
}

// CONNECT keeps the run-time role of one service out of another's database.
func TestRuntimeRoleCannotEnterAnotherDatabase(t *testing.T) {
	t.Parallel()
	mine := teststack.Database(t, ledger)
	other := database.Spec{
		Database: "muster_test_other_" + strings.ToLower(t.Name()[:8]),
		Owner:    database.Login{Name: "muster_test_other_owner", Password: secret.New("other")},
		Runtime:  database.Login{Name: "muster_test_other", Password: secret.New("other")},
		Schemas:  []string{"ledger"},
	}
	urls, err := database.Provision(t.Context(), teststack.Admin(t), other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		admin, err := pgx.Connect(ctx, teststack.Admin(t).Reveal())
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close(ctx) //nolint:errcheck // nothing is pending
		if _, err := admin.Exec(ctx, `DROP DATABASE `+other.Database+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	if again, err := database.Provision(t.Context(), teststack.Admin(t), other); err != nil || !again.Runtime.Equal(urls.Runtime) {
		t.Errorf("provisioning twice: %v", err)
	}
	intruder := strings.Replace(urls.Runtime.Reveal(), "muster_test_other:other@", "muster_test:muster_test@", 1)
	if _, err := database.Open(t.Context(), secret.New(intruder), "intruder", 1); err == nil || !strings.Contains(err.Error(), "permission denied for database") {
		t.Errorf("got %v, want permission denied", err)
	}
	if mine.Runtime.Empty() {
		t.Error("no URL")
	}
}

// Two processes that migrate at once do it once, and a second time changes nothing.
func TestMigrateIsSafeAtOnceAndTwice(t *testing.T) {
	t.Parallel()
	urls := teststack.Database(t, ledger)
	failed := make(chan error)
	for range 4 {
		go func() { failed <- database.Migrate(t.Context(), urls.Owner, ledger) }()
	}
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// An error about an address never shows the password in it.
func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	url := secret.New("postgres://someone:hunter2@127.0.0.1:notaport/x")
	if _, err := database.Open(t.Context(), url, "x", 1); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if err := database.Migrate(t.Context(), url, ledger); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
