package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/secret"
)

// dump is every value of every column of every table in schema log, as text.
func (b bench) dump(t *testing.T) string {
	t.Helper()
	columns, err := b.pool.Query(t.Context(), `
		SELECT format('SELECT %I::text FROM %I.%I WHERE %I IS NOT NULL', column_name, table_schema, table_name, column_name)
		FROM information_schema.columns WHERE table_schema = 'log'`)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := pgx.CollectRows(columns, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, query := range queries {
		rows, err := b.pool.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			fmt.Fprintln(&all, value)
		}
	}
	return all.String()
}

// appearances are the ways in which a text may stand in a dump: as it is, in
// hexadecimal, and in base64 at each of its three alignments.
func appearances(text string) []string {
	seen := []string{strings.ToLower(text), hex.EncodeToString([]byte(text))}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), text...))
		// The ends depend on what stands beside the text.
		seen = append(seen, strings.ToLower(encoded[min(4, shift*2):len(encoded)-4]))
	}
	return seen
}

func TestSchemaLogHoldsNothingPersonalInClear(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := ada()
	command.Request.IdempotencyKey = "0123456789abcdef"
	registered := b.register(t, command)
	b.update(t, rename(registered.UserID, new("Augustacanary"), new("Byroncanary")))
	changed := change(registered.UserID, "canary-password-1", "canary-password-2")
	changed.Request.IdempotencyKey = "fedcba9876543210"
	if _, err := b.Commands.ChangePassword.Handle(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	admin := b.administrator(t)
	administered := changes(admin, registered.UserID)
	administered.Request.IdempotencyKey = "0123456789abcdef"
	administered.Username, administered.Email, administered.LastName = new("Augusta.Canary"), new("countess@canary-mail.example"), new("Kingcanary")
	administered.Password = new(secret.New("canary-password-3"))
	b.administer(t, administered)
	created := newcomer(admin)
	created.Request.IdempotencyKey = "123456789abcdef0"
	b.erase(t, admin, b.create(t, created).Profile.ID)

	dump := strings.ToLower(b.dump(t))
	for _, open := range []string{registered.UserID, "request-1", "muster.identity.events.v1.passwordset", "0123456789abcdef"} {
		if !strings.Contains(dump, open) {
			t.Errorf("the dump lacks %s, so it proves nothing", open)
		}
	}
	if !strings.Contains(dump, "\\x01") {
		t.Error("the dump lacks the sealed parts, so it proves nothing")
	}
	for _, canary := range []string{
		"ada.canary", "ada@canary-mail.example", "canary-mail", "Adacanary", "Lovelacecanary", "Augustacanary", "Byroncanary",
		"canary-password-1", "canary-password-2", "192.0.2.77", "canary-agent", "$argon2id", "admin@muster.internal",
		"augusta.canary", "countess@", "Kingcanary", "canary-password-3", "bob.canary", "Bobcanary", "canary-password-9", "198.51.100.7", "admin-agent",
	} {
		for _, appearance := range appearances(canary) {
			if strings.Contains(dump, appearance) {
				t.Errorf("schema log holds %q as %q", canary, appearance)
			}
		}
	}
}
