package projection

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/platform/database"
)

// compared are the tables of testdata/compared.
var compared = []Table{
	{Name: "read.people", Key: []string{"person_id"}, Sensitive: []string{"secret"}},
	{Name: "read.friends", Key: []string{"person_id", "friend_id"}},
}

// canary is a value that nobody may see.
const canary = "canary-7d1f"

// twins are the generations 1, which serves, and 2 of the same rows.
type twins struct{ pool *pgxpool.Pool }

func newTwins(t *testing.T, people int) *twins {
	t.Helper()
	w := &twins{openPool(t, database.Migrations{Schema: "read", Part: "compared_", Files: os.DirFS("testdata/compared")})}
	w.exec(t, `
		INSERT INTO read.people (generation, person_id, name, secret, roles, seen_at, active)
		SELECT g, n, 'person ' || n, $2 || n, ARRAY['admin', 'auditor'], timestamptz '2026-11-22 09:00Z', true
		FROM generate_series(1, 2) AS g, generate_series(1, $1) AS n
		ORDER BY md5(n::text)`, people, canary)
	w.exec(t, `
		INSERT INTO read.friends (generation, person_id, friend_id)
		SELECT g, n, md5(n::text)::uuid FROM generate_series(1, 2) AS g, generate_series(1, $1) AS n
		ORDER BY md5(n::text)`, people)
	return w
}

func (w *twins) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	if _, err := w.pool.Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

func (w *twins) compare(t *testing.T, tables ...Table) (Verification, error) {
	t.Helper()
	tx, err := w.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // it has written nothing
	if _, err := tx.Exec(t.Context(), `SET LOCAL TIME ZONE 'Asia/Kolkata'`); err != nil {
		t.Fatal(err)
	}
	return compare(t.Context(), tx, tables, 1, 2)
}

func (w *twins) want(t *testing.T, want Verification) {
	t.Helper()
	got, err := w.compare(t, compared...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSameRowsDoNotDiffer(t *testing.T) {
	t.Parallel()
	for _, people := range []int{0, 1, 3000} {
		w := newTwins(t, people)
		// A third generation is nobody's business.
		w.exec(t, `INSERT INTO read.people (generation, person_id, name, roles, active) VALUES (3, 1, 'other', '{}', false)`)
		w.want(t, Verification{Rows: 2 * int64(people)})
	}
}

func TestEachRowThatDiffersIsToldWithItsColumns(t *testing.T) {
	t.Parallel()
	friend := "c4ca4238-a0b9-2382-0dcc-509a6f75849b" // of person 1
	for name, c := range map[string]struct {
		change string // of what serves
		want   Difference
	}{
		"missing": {`DELETE FROM read.people WHERE generation = 1 AND person_id = 2`,
			Difference{Table: "read.people", Key: "person_id=2", Kind: Missing}},
		"surplus": {`DELETE FROM read.people WHERE generation = 2 AND person_id = 2`,
			Difference{Table: "read.people", Key: "person_id=2", Kind: Surplus}},
		"missing by a composite key": {`DELETE FROM read.friends WHERE generation = 1 AND person_id = 1`,
			Difference{Table: "read.friends", Key: "person_id=1, friend_id=" + friend, Kind: Missing}},
		"text": {`UPDATE read.people SET name = 'a "name"' WHERE generation = 1 AND person_id = 3`,
			changed("name", `"a \"name\""`, `"person 3"`)},
		"boolean": {`UPDATE read.people SET active = false WHERE generation = 1 AND person_id = 3`,
			changed("active", `false`, `true`)},
		"array": {`UPDATE read.people SET roles = ARRAY['auditor', 'admin'] WHERE generation = 1 AND person_id = 3`,
			changed("roles", `["auditor", "admin"]`, `["admin", "auditor"]`)},
		"empty array": {`UPDATE read.people SET roles = '{}' WHERE generation = 1 AND person_id = 3`,
			changed("roles", `[]`, `["admin", "auditor"]`)},
		"microsecond": {`UPDATE read.people SET seen_at = seen_at + interval '1 microsecond' WHERE generation = 1 AND person_id = 3`,
			changed("seen_at", `"2026-11-22T09:00:00.000001+00:00"`, `"2026-11-22T09:00:00+00:00"`)},
		"null": {`UPDATE read.people SET seen_at = NULL WHERE generation = 1 AND person_id = 3`,
			changed("seen_at", `null`, `"2026-11-22T09:00:00+00:00"`)},
		"value for null": {`UPDATE read.people SET seen_at = NULL WHERE generation = 2 AND person_id = 3`,
			changed("seen_at", `"2026-11-22T09:00:00+00:00"`, `null`)},
		"sensitive": {`UPDATE read.people SET secret = 'canary-7d1f-other' WHERE generation = 1 AND person_id = 3`,
			changed("secret", redacted, redacted)},
		"sensitive null": {`UPDATE read.people SET secret = NULL WHERE generation = 1 AND person_id = 3`,
			changed("secret", redacted, redacted)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, 5)
			w.exec(t, c.change)
			w.want(t, Verification{Rows: 10, Differing: 1, Differences: []Difference{c.want}})
		})
	}
}

// changed is a difference in one column of person 3.
func changed(column, serving, rebuilt string) Difference {
	return Difference{
		Table: "read.people", Key: "person_id=3", Kind: Changed,
		Columns: []ColumnDifference{{Column: column, Serving: serving, Rebuilt: rebuilt}},
	}
}

func TestDifferencesComeInTheOrderOfTableKeyAndColumn(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 12)
	w.exec(t, `UPDATE read.people SET active = false, name = 'other', secret = 'x' WHERE generation = 1 AND person_id IN (10, 9)`)
	w.exec(t, `DELETE FROM read.people WHERE generation = 1 AND person_id = 11`)
	w.exec(t, `DELETE FROM read.friends WHERE generation = 2 AND person_id = 1`)
	got, err := w.compare(t, compared...)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, difference := range got.Differences {
		line := fmt.Sprintf("%s %s %s", difference.Table, strings.Split(difference.Key, ",")[0], difference.Kind)
		for _, column := range difference.Columns {
			line += " " + column.Column
		}
		told = append(told, line)
	}
	want := []string{
		"read.people person_id=9 changed name secret active",
		"read.people person_id=10 changed name secret active",
		"read.people person_id=11 missing",
		"read.friends person_id=1 surplus",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

func TestSensitiveValuesAreNowhereInTheReport(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 50)
	w.exec(t, `UPDATE read.people SET secret = secret || ' changed', active = false WHERE generation = 1 AND person_id % 3 = 0`)
	w.exec(t, `DELETE FROM read.people WHERE generation = 1 + person_id % 2 AND person_id % 3 = 1`)
	got, err := w.compare(t, compared...)
	if err != nil {
		t.Fatal(err)
	}
	report, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Differences) != 33 || strings.Contains(string(report), canary) {
		t.Errorf("%d differences, with the canary: %s", len(got.Differences), report)
	}
}

// However many rows differ, the report stays small and counts them all, over
// the tables together.
func TestMoreDifferencesThanAreToldAreCounted(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 900)
	w.exec(t, `UPDATE read.people SET active = false WHERE generation = 1`)
	w.exec(t, `DELETE FROM read.friends WHERE generation = 2`)
	got, err := w.compare(t, compared...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 1800 || got.Differing != 1800 || len(got.Differences) != maxDifferences {
		t.Fatalf("%d of %d rows differ, %d are told", got.Differing, got.Rows, len(got.Differences))
	}
	for place, want := range map[int]string{0: "person_id=1", 899: "person_id=900", 900: "person_id=1, ", 999: "person_id=100, "} {
		if got := got.Differences[place].Key; !strings.HasPrefix(got, want) {
			t.Errorf("difference %d is that of %s, want %s", place, got, want)
		}
	}
}

// A column that is misspelt would be shown.
func TestAColumnThatIsNotThereFailsTheComparison(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	for _, table := range []Table{
		{Name: "read.people", Key: []string{"person_id"}, Sensitive: []string{"secrets"}},
		{Name: "read.people", Key: []string{"person"}},
		{Name: "read.peoples", Key: []string{"person_id"}},
	} {
		if _, err := w.compare(t, table); err == nil || !strings.Contains(err.Error(), table.Name) {
			t.Errorf("%+v: %v", table, err)
		}
	}
}

// A projection without tables has nothing that could differ.
func TestNoTablesDoNotDiffer(t *testing.T) {
	t.Parallel()
	if got, err := newTwins(t, 1).compare(t); err != nil || got.Rows != 0 || got.Differing != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A generation that was just made is unknown to the planner's statistics, which
// must not make the comparison quadratic.
func TestComparisonNeverLoopsOverAGenerationForEachRow(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 20_000)
	c := &comparison{compared[0], []string{"name", "secret", "roles", "seen_at", "active"}}
	for _, statement := range []string{countDifferencesSQL, differencesSQL} {
		arguments := []any{1, 2, maxDifferences}[:strings.Count(statement, "$")]
		rows, err := w.pool.Query(t.Context(), "EXPLAIN "+c.fill(statement), arguments...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Nested Loop") {
			t.Error(plan)
		}
	}
}
