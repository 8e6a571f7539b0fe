package seal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore/seal"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestCacheRemembersAtMostAMinute(t *testing.T) {
	t.Parallel()
	keys, clock := &ring{keys: map[string]seal.Key{"a": {ID: "a", State: seal.Alive}}}, &clock{at: time.Unix(0, 0)}
	cache := seal.NewCache(keys, time.Hour, 10, clock.now)
	get := func() seal.State {
		t.Helper()
		found, err := cache.Get(t.Context(), []string{"a"})
		if err != nil {
			t.Fatal(err)
		}
		return found["a"].State
	}
	get()
	keys.keys["a"] = seal.Key{ID: "a", State: seal.Destroyed}
	clock.at = clock.at.Add(seal.MaxCacheAge - 1)
	if state := get(); state != seal.Alive || keys.gets != 1 {
		t.Errorf("state %v after %d questions, want it remembered", state, keys.gets)
	}
	clock.at = clock.at.Add(1)
	if state := get(); state != seal.Destroyed {
		t.Errorf("state %v, want the destruction seen after a minute", state)
	}
	if get(); keys.gets != 2 {
		t.Errorf("%d questions, want the destruction remembered", keys.gets)
	}
}

func TestCacheNeverRemembersTheUnknown(t *testing.T) {
	t.Parallel()
	keys := &ring{keys: map[string]seal.Key{}}
	cache := seal.NewCache(keys, time.Minute, 10, time.Now)
	for _, want := range []seal.State{seal.Unknown, seal.Alive} {
		found, err := cache.Get(t.Context(), []string{"late"})
		if err != nil || found["late"].State != want {
			t.Fatalf("got %v, %v, want %v", found["late"].State, err, want)
		}
		keys.keys["late"] = seal.Key{ID: "late", State: seal.Alive}
	}
}

func TestCacheIsBoundedAndForgetsTheOldest(t *testing.T) {
	t.Parallel()
	keys := &ring{keys: map[string]seal.Key{}}
	for i := range 5 {
		id := fmt.Sprint(i)
		keys.keys[id] = seal.Key{ID: id, State: seal.Alive}
	}
	cache := seal.NewCache(keys, time.Minute, 3, time.Now)
	get := func(ids ...string) {
		t.Helper()
		found, err := cache.Get(t.Context(), ids)
		if err != nil || len(found) != len(ids) {
			t.Fatalf("got %d keys, %v", len(found), err)
		}
	}
	for i := range 5 {
		get(fmt.Sprint(i))
	}
	asked := keys.gets
	if get("2", "3", "4"); keys.gets != asked {
		t.Error("the newest three are forgotten")
	}
	if get("1"); keys.gets != asked+1 {
		t.Error("the bound of three does not hold")
	}
	get("0", "1", "2", "3", "4") // a batch larger than the cache is answered whole
}

func TestCachePassesFailuresOn(t *testing.T) {
	t.Parallel()
	keys := &ring{err: errors.New("keyring is down")}
	if _, err := seal.NewCache(keys, time.Minute, 3, time.Now).Get(t.Context(), []string{"a"}); !errors.Is(err, keys.err) {
		t.Errorf("got %v", err)
	}
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "b", "c", "d"}
	keys := map[string]seal.Key{}
	for _, id := range ids {
		keys[id] = seal.Key{ID: id, State: seal.Alive}
	}
	cache := seal.NewCache(constant(keys), time.Nanosecond, 2, time.Now)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for range 500 {
				found, err := cache.Get(t.Context(), ids)
				if err != nil || len(found) != len(ids) {
					t.Errorf("got %d keys, %v", len(found), err)
					return
				}
			}
		})
	}
	readers.Wait()
}
