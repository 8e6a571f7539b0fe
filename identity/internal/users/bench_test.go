package users_test

import (
	"testing"

	"github.com/muster-id/muster/identity/internal/users"
)

// hundredThousand people: 10 administrators, 1000 auditors, one in a hundred
// deactivated; names of which many begin alike.
const hundredThousand = `
INSERT INTO read.users
    (generation, user_id, username, email, first_name, last_name, first_name_key, last_name_key, roles, active,
     registered_at, updated_at, version)
SELECT 1, gen_random_uuid(), substr(md5(n::text), 1, 6) || n, substr(md5((7 * n)::text), 1, 6) || n || '@example.org',
    'First' || n % 500, 'Last' || n % 2000, 'first' || n % 500, 'last' || n % 2000,
    CASE WHEN n % 10000 = 0 THEN '{admin}' WHEN n % 100 = 1 THEN '{auditor}' ELSE '{}' END::text[],
    n % 100 <> 2, timestamptz '2026-01-01 UTC' + n * interval '5 minutes', timestamptz '2026-11-22 UTC', 2
FROM generate_series(1, 100000) AS n`

func BenchmarkListUsers(b *testing.B) {
	t := newTable(b)
	t.exec(b, hundredThousand)
	t.analyze(b)
	orders := []struct {
		name  string
		order users.Order
	}{{"registration", users.ByRegistration}, {"username", users.ByUsername}, {"email", users.ByEmail}, {"name", users.ByName}}
	for _, by := range orders {
		all := t.all(b, users.Query{Order: by.order})
		for _, page := range []struct {
			name  string
			after int // how many lie before the page
		}{{"first", 0}, {"middle", len(all) / 2}, {"last", len(all) - 50}} {
			query := users.Query{Order: by.order, Limit: 51}
			if page.after > 0 {
				place := users.PlaceOf(all[page.after-1], by.order)
				query.After = &place
			}
			b.Run("by="+by.name+"/page="+page.name, func(b *testing.B) { t.list(b, query) })
		}
		for name, query := range map[string]users.Query{
			"username=a":     {Username: "a"},
			"username=abcd":  {Username: "abcd"},
			"email=abcd":     {Email: "abcd"},
			"role=admin":     {Role: "admin"},
			"role=auditor":   {Role: "auditor"},
			"active=false":   {Active: new(false)},
			"active=true":    {Active: new(true)},
			"auditors, gone": {Active: new(false), Role: "auditor"},
		} {
			query.Order, query.Limit = by.order, 51
			b.Run("by="+by.name+"/"+name, func(b *testing.B) { t.list(b, query) })
		}
		b.Run("by="+by.name+"/descending", func(b *testing.B) {
			t.list(b, users.Query{Order: by.order, Descending: true, Limit: 51})
		})
	}
}

func (b *table) list(t *testing.B, query users.Query) {
	for t.Loop() {
		if _, err := b.rows.List(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
}
