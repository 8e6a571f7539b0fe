package users_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/upcast"
)

// recorded holds a log of former versions; see the README there.
const recorded = "../../../proto/upcast/testdata/identity"

// As in package access of credentials: everything that was ever recorded can be
// replayed.
func TestALogOfFormerVersionsMakesTheSameRows(t *testing.T) {
	t.Parallel()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := database.Open(t.Context(), teststack.Database(t, sets...).Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log := eventtest.OpenRecorded(t, recorded)
	projector := projection.New(projection.Config{
		Pool:       pool,
		Log:        "identity",
		Projection: users.Projection{},
		Codec:      users.WithoutPasswords(seal.NewCodec(log, nil, protoregistry.GlobalTypes, upcast.Step)),
		Source:     log,
		Logger:     slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := projector.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-projector.Ready():
	case <-time.After(time.Minute):
		t.Fatalf("the log is not replayed: %+v", projector.Stats())
	}
	if parked, err := projector.Parked(t.Context()); err != nil || len(parked) != 0 {
		t.Errorf("events cannot be applied: %+v, %v", parked, err)
	}
	if unknown := projector.Stats().Unknown; len(unknown) != 1 || unknown["muster.identity.events.v1.SomethingNewer"] != 1 {
		t.Errorf("it reports %v as unknown, want the one that is", unknown)
	}
	if diff := cmp.Diff(expected(t, recorded+"/users.jsonl"), serving(t, pool)); diff != "" {
		t.Errorf("the rows are others than they were (-expected +made):\n%s", diff)
	}
}

// serving are the rows that serve, with all their columns.
func serving(t *testing.T, pool *pgxpool.Pool) []map[string]any {
	t.Helper()
	var rows []map[string]any
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SET LOCAL TimeZone = 'UTC'`); err != nil {
			return err
		}
		found, err := tx.Query(t.Context(), `
			SELECT to_jsonb(u) - 'generation'
			FROM read.users u JOIN read.projections p ON p.name = 'users' AND p.generation = u.generation
			ORDER BY u.user_id`)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, pgx.RowTo[map[string]any])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func expected(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	for line := range strings.Lines(string(text)) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}
