package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	pool, err := database.Open(t.Context(), teststack.Database(t).Runtime, "exclusive test", 9)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	exclusive := store.NewExclusive(pool) // eight connections wait, and one is left for who is inside
	inside := 0                           // guarded by the lock under test: the race detector watches too
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := exclusive.Do(t.Context(), "test", func(ctx context.Context) error {
				if inside++; inside != 1 {
					t.Error("two are inside at once")
				}
				_, err := pool.Exec(ctx, `SELECT 1`) // time for another to come in
				inside--
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	failed := errors.New("failed")
	if err := exclusive.Do(t.Context(), "test", func(context.Context) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if err := exclusive.Do(t.Context(), "test", func(context.Context) error { return nil }); err != nil {
		t.Errorf("a failure keeps the lock: %v", err)
	}
}
