package app_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster-id/muster/credentials/internal/signing"
	"github.com/muster-id/muster/credentials/internal/store"
)

func TestTheSigningKeyOutlivesARestartAndIsSealedInItsTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.join(t, "ada")
	before, err := w.SigningKeys()
	if err != nil {
		t.Fatal(err)
	}
	signed := w.login(t, "ada").Tokens.Access
	w.ring = w.openRing(t)
	after, err := w.ring.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Errorf("the keys were %s and are %s after a restart", before, after)
	}
	if claims := w.claims(t, signed); claims.Subject != ada.id.String() {
		t.Errorf("the token is of %s", claims.Subject)
	}
	// That it is sealed is shown in package signing; here, that this is what is stored.
	var keys, sealed int
	if err := w.db.QueryRow(t.Context(), `SELECT count(*), min(octet_length(sealed_private)) FROM sessions.signing_keys`).Scan(&keys, &sealed); err != nil {
		t.Fatal(err)
	}
	if want := 12 + 32 + 16; keys != 1 || sealed != want {
		t.Errorf("%d keys of %d bytes, want one of %d: nonce, seed and tag", keys, sealed, want)
	}
}

func TestProcessesThatStartTogetherMakeOneKey(t *testing.T) {
	t.Parallel()
	keeper, sealer := store.New(openDatabase(t)), newSealer(t)
	type start struct {
		keys []signing.Key
		err  error
	}
	starts := make(chan start, 4)
	for range cap(starts) {
		go func() {
			keys, err := keeper.SigningKeys(t.Context(), func() (signing.Key, error) { return sealer.Generate(time.Now()) })
			starts <- start{keys, err}
		}()
	}
	var id string
	for range cap(starts) {
		started := <-starts
		if started.err != nil || len(started.keys) != 1 {
			t.Fatalf("%d keys, %v; want one", len(started.keys), started.err)
		}
		if id == "" {
			id = started.keys[0].ID
		}
		if started.keys[0].ID != id {
			t.Errorf("one signs with %s, another with %s", id, started.keys[0].ID)
		}
	}
}

// A process that goes on after its database was lost, and one that has started
// with the empty one: what either has signed stays good.
func TestKeysThatAProcessHoldsAreKeptBesideThoseThatAreThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealer := newSealer(t)
	held, err := sealer.Generate(w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		keys, err := w.store.KeepSigningKeys(t.Context(), []signing.Key{held})
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) != 2 || keys[0].ID != held.ID && keys[1].ID != held.ID {
			t.Errorf("%d keys are kept, want that of the start and %s", len(keys), held.ID)
		}
		if err := w.ring.Replace(keys); err != nil {
			t.Error(err)
		}
	}
}
