package teststack

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/secret"
)

// Drop drops a test's database and cuts the connections that there are, as an
// operator would who takes it for another.
func Drop(t testing.TB, url secret.String) {
	t.Helper()
	DropAt(t, Admin(t), url)
}

// DropAt does so on a server of the test's own, as its administrator.
func DropAt(t testing.TB, admin, url secret.String) {
	t.Helper()
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		t.Fatal("not a database's URL")
	}
	conn := connect(t.Context(), t, admin)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	if _, err := conn.Exec(t.Context(), `DROP DATABASE `+pgx.Identifier{config.Database}.Sanitize()+` WITH (FORCE)`); err != nil {
		t.Fatalf("drop a database: %v", err)
	}
}

// TakeAway closes a test's database to everybody and cuts the connections that
// there are, as a failing server would, until back is called.
func TakeAway(t testing.TB, url secret.String) (back func()) {
	t.Helper()
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		t.Fatal("not a database's URL")
	}
	admin := connect(t.Context(), t, Admin(t))
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	do := func(statement string, arguments ...any) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement, arguments...); err != nil {
			t.Fatalf("take a database away: %v", err)
		}
	}
	do(`ALTER DATABASE ` + pgx.Identifier{config.Database}.Sanitize() + ` ALLOW_CONNECTIONS false`)
	do(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, config.Database)
	return func() { do(`ALTER DATABASE ` + pgx.Identifier{config.Database}.Sanitize() + ` ALLOW_CONNECTIONS true`) }
}
