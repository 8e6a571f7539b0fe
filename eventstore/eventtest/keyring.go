package eventtest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/seal"
)

// KeyringUnderTest is a keyring that the conformance suite is run on.
type KeyringUnderTest interface {
	seal.Keys
	seal.Maker
	seal.Destroyer
}

// RunKeyring holds a keyring to what sealing relies on: nothing that was sealed
// is lost, and nothing is taken for erased that is not. open gives an empty one.
func RunKeyring(t *testing.T, open func(t *testing.T) KeyringUnderTest) {
	for name, rule := range map[string]func(*testing.T, KeyringUnderTest){
		"a key comes back as it was made":                      keysComeBack,
		"a destroyed key is a tombstone and no other is":       onlyDestroyedIsTombstone,
		"a destroyed key stays destroyed":                      destroyedForGood,
		"an unknown key is never told as destroyed":            unknownIsNotDestroyed,
		"every id that was asked for is answered":              everyIDAnswered,
		"more keys than a call may carry are one question":     manyKeys,
		"no keys are no work":                                  noKeys,
		"of ids of which one is none nothing is destroyed":     badIDDestroysNothing,
		"a question without an answer is an error":             silenceIsAnError,
		"two who destroy the same keys at once do not lock up": destroyedAtOnce,
		"keys are made, told and destroyed at once":            keysAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

func mustMake(t *testing.T, ring KeyringUnderTest, n int) (ids []string, keys []seal.Key) {
	t.Helper()
	keys, err := ring.Make(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != n {
		t.Fatalf("made %d keys, want %d", len(keys), n)
	}
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids, keys
}

func mustDestroy(t *testing.T, ring KeyringUnderTest, ids ...string) {
	t.Helper()
	if err := ring.Destroy(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
}

// wantStates asks for all ids at once.
func wantStates(t *testing.T, ring KeyringUnderTest, want map[string]seal.State) {
	t.Helper()
	var ids []string
	for id := range want {
		ids = append(ids, id)
	}
	got, err := ring.Get(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for id, state := range want {
		key, answered := got[id]
		if !answered || key.ID != id || key.State != state {
			t.Errorf("key %q: answered %t, as %q in state %v; want state %v", id, answered, key.ID, key.State, state)
		}
		if opens := len(key.Bytes.Reveal()) == seal.KeySize; opens != (state == seal.Alive) {
			t.Errorf("key %q in state %v has %d bytes", id, state, len(key.Bytes.Reveal()))
		}
	}
}

func keysComeBack(t *testing.T, ring KeyringUnderTest) {
	ids, made := mustMake(t, ring, 3)
	_, more := mustMake(t, ring, 1)
	got, err := ring.Get(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, key := range made {
		if parsed, err := uuid.Parse(key.ID); err != nil || parsed.String() != key.ID {
			t.Errorf("key %q: its id is no UUID", key.ID)
		}
		if key.State != seal.Alive || len(key.Bytes.Reveal()) != seal.KeySize {
			t.Errorf("key %s was made in state %v, with %d bytes", key.ID, key.State, len(key.Bytes.Reveal()))
		}
		found := got[key.ID]
		if found.State != seal.Alive || found.ID != key.ID || !bytes.Equal(found.Bytes.Reveal(), key.Bytes.Reveal()) {
			t.Errorf("key %s came back as another", key.ID)
		}
		seen[string(key.Bytes.Reveal())] = true
	}
	seen[string(more[0].Bytes.Reveal())] = true
	if len(seen) != 4 || slices.Contains(ids, more[0].ID) {
		t.Error("two keys are the same")
	}
}

func onlyDestroyedIsTombstone(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 3)
	mustDestroy(t, ring, ids[0], ids[1])
	wantStates(t, ring, map[string]seal.State{
		ids[0]: seal.Destroyed, ids[1]: seal.Destroyed, ids[2]: seal.Alive, uuid.NewString(): seal.Unknown,
	})
}

func destroyedForGood(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 2)
	mustDestroy(t, ring, ids[0])
	// Whoever was interrupted begins anew, with more than before.
	mustDestroy(t, ring, ids[0], ids[1], ids[0])
	mustDestroy(t, ring, ids...)
	mustMake(t, ring, 2)
	wantStates(t, ring, map[string]seal.State{ids[0]: seal.Destroyed, ids[1]: seal.Destroyed})
}

func unknownIsNotDestroyed(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 1)
	never := uuid.NewString()
	mustDestroy(t, ring, never, ids[0])
	wantStates(t, ring, map[string]seal.State{never: seal.Unknown, ids[0]: seal.Destroyed})
}

func everyIDAnswered(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 2)
	mustDestroy(t, ring, ids[1])
	never := uuid.NewString()
	got, err := ring.Get(t.Context(), []string{ids[0], never, ids[0], ids[1], never})
	if err != nil || len(got) != 3 {
		t.Errorf("%d answers, %v; want 3", len(got), err)
	}
	// Another spelling of an id is another id, and none at all hinders nobody.
	wantStates(t, ring, map[string]seal.State{
		ids[0]: seal.Alive, strings.ToUpper(ids[0]): seal.Unknown,
		"urn:uuid:" + ids[0]: seal.Unknown, "{" + ids[0] + "}": seal.Unknown,
		"": seal.Unknown, "no id at all": seal.Unknown, "\x00\xff": seal.Unknown,
	})
}

func manyKeys(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 5001)
	mustDestroy(t, ring, ids[1:]...)
	want := make(map[string]seal.State, len(ids))
	for _, id := range ids {
		want[id] = seal.Destroyed
	}
	want[ids[0]] = seal.Alive
	if len(want) != 5001 {
		t.Errorf("%d different keys, want 5001", len(want))
	}
	wantStates(t, ring, want)
}

func noKeys(t *testing.T, ring KeyringUnderTest) {
	mustMake(t, ring, 0)
	mustDestroy(t, ring)
	if got, err := ring.Get(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%d answers, %v; want none", len(got), err)
	}
}

func badIDDestroysNothing(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 1)
	if err := ring.Destroy(t.Context(), []string{ids[0], "no id at all"}); err == nil {
		t.Error("an id that is none was accepted")
	}
	wantStates(t, ring, map[string]seal.State{ids[0]: seal.Alive})
}

func silenceIsAnError(t *testing.T, ring KeyringUnderTest) {
	ids, _ := mustMake(t, ring, 1)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := ring.Get(over, ids); err == nil {
		t.Errorf("told %v", got)
	}
	if made, err := ring.Make(over, 1); err == nil {
		t.Errorf("made %v", made)
	}
	if err := ring.Destroy(over, ids); err == nil {
		t.Error("destroyed")
	}
	wantStates(t, ring, map[string]seal.State{ids[0]: seal.Alive})
}

func destroyedAtOnce(t *testing.T, ring KeyringUnderTest) {
	for range 5 {
		ids, _ := mustMake(t, ring, 50)
		backwards := slices.Clone(ids)
		slices.Reverse(backwards)
		var both sync.WaitGroup
		for _, order := range [][]string{ids, backwards} {
			both.Go(func() {
				if err := ring.Destroy(t.Context(), order); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		wantStates(t, ring, map[string]seal.State{ids[0]: seal.Destroyed, ids[49]: seal.Destroyed})
	}
}

func keysAtOnce(t *testing.T, ring KeyringUnderTest) {
	shared, _ := mustMake(t, ring, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			made, err := ring.Make(t.Context(), 5)
			if err != nil {
				t.Error(err)
				return
			}
			if err := ring.Destroy(t.Context(), []string{made[0].ID}); err != nil {
				t.Error(err)
			}
			want := map[string]seal.State{made[0].ID: seal.Destroyed, shared[0]: seal.Alive}
			got, err := ring.Get(t.Context(), []string{made[0].ID, made[4].ID, shared[0]})
			if err != nil {
				t.Error(err)
				return
			}
			for id, state := range want {
				if got[id].State != state {
					t.Errorf("key %s: state %v, want %v", id, got[id].State, state)
				}
			}
			if !bytes.Equal(got[made[4].ID].Bytes.Reveal(), made[4].Bytes.Reveal()) {
				t.Error("somebody else's key came back")
			}
		})
	}
	all.Wait()
}
