package access_test

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
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/proto/upcast"
)

// recorded holds a log of former versions; see the README there.
const recorded = "../../../proto/upcast/testdata/identity"

// Everything that was ever recorded can be replayed: former schema versions,
// destroyed keys, and types that this program does not know.
func TestALogOfFormerVersionsMakesTheSameRows(t *testing.T) {
	t.Parallel()
	b, log := setup(t), eventtest.OpenRecorded(t, recorded)
	projector := projection.New(projection.Config{
		Pool:       b.pool,
		Log:        "identity",
		Projection: access.Projection{},
		Codec:      seal.NewCodec(log, nil, protoregistry.GlobalTypes, upcast.Step),
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
	if diff := cmp.Diff(expected(t, recorded+"/access.jsonl"), b.all(t)); diff != "" {
		t.Errorf("the rows are others than they were (-expected +made):\n%s", diff)
	}
}

// all are the rows that serve, with all their columns.
func (b *bundle) all(t *testing.T) []map[string]any {
	t.Helper()
	var rows []map[string]any
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SET LOCAL TimeZone = 'UTC'`); err != nil {
			return err
		}
		found, err := tx.Query(t.Context(), `
			SELECT to_jsonb(a) - 'generation'
			FROM read.access a JOIN read.projections p ON p.name = 'access' AND p.generation = a.generation
			ORDER BY a.user_id`)
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
