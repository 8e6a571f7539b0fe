package signing

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
)

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func newSealer(t *testing.T, key string) Sealer {
	t.Helper()
	sealer, err := NewSealer(secret.NewBytes([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

const keyEncryptionKey = "0123456789abcdef0123456789abcdef"

func generate(t *testing.T, sealer Sealer) Key {
	t.Helper()
	key, err := sealer.Generate(start)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRing(t *testing.T, sealer Sealer, now *time.Time, keys ...Key) *Ring {
	t.Helper()
	ring, err := NewRing(Config{
		Issuer: "https://muster.example", Audience: "muster", TokenLifetime: 15 * time.Minute,
		Now: func() time.Time { return *now },
	}, sealer, keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var claims = token.Claims{Subject: "somebody", SessionID: "session", ID: "token", AccessVersion: 1}

func sign(t *testing.T, ring *Ring) secret.String {
	t.Helper()
	signed, _, err := ring.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func verify(t *testing.T, ring *Ring, signed secret.String) error {
	t.Helper()
	_, err := token.NewVerifier(token.VerifierConfig{
		Issuer: "https://muster.example", Audience: "muster", Keys: ring, Now: ring.config.Now,
	}).Verify(t.Context(), signed)
	return err
}

func TestASealedKeyShowsNothingAndOpensInItsPlaceAlone(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	key, other := generate(t, sealer), generate(t, sealer)
	private, err := sealer.open(key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(key.SealedPrivate, private.Seed()) {
		t.Error("the private key is stored in clear")
	}
	for name, key := range map[string]Key{
		"of another row":      {ID: other.ID, Public: key.Public, SealedPrivate: key.SealedPrivate},
		"of another public":   {ID: key.ID, Public: other.Public, SealedPrivate: key.SealedPrivate},
		"cut":                 {ID: key.ID, Public: key.Public, SealedPrivate: key.SealedPrivate[1:]},
		"empty":               {ID: key.ID, Public: key.Public},
		"with a changed byte": {ID: key.ID, Public: key.Public, SealedPrivate: append([]byte{key.SealedPrivate[0] ^ 1}, key.SealedPrivate[1:]...)},
	} {
		if _, err := sealer.open(key); !errors.Is(err, ErrSealed) {
			t.Errorf("a sealed key %s: %v, want ErrSealed", name, err)
		}
	}
	if _, err := NewRing(Config{}, newSealer(t, "another key of thirty-two bytes."), []Key{key}); !errors.Is(err, ErrSealed) {
		t.Errorf("under another key-encryption key: %v, want ErrSealed", err)
	}
}

func TestTheNewestKeySignsAndAllArePublished(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	former, newest := generate(t, sealer), generate(t, sealer)
	now := start
	ring := newRing(t, sealer, &now, former, newest)
	if err := verify(t, newRing(t, sealer, &now, newest), sign(t, ring)); err != nil {
		t.Errorf("not signed by the newest key: %v", err)
	}
	if err := verify(t, ring, sign(t, newRing(t, sealer, &now, former))); err != nil {
		t.Errorf("a token of the former key: %v", err)
	}
	jwks, err := ring.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []Key{former, newest} {
		if !bytes.Contains(jwks, []byte(key.ID)) {
			t.Errorf("key %s is not published", key.ID)
		}
	}
}

// What one process holds another can hold too, in whichever order it finds them,
// and a key that does not open changes nothing.
func TestReplicasWithTheSameKeysSignWithTheSame(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	former, newest, foreign := generate(t, sealer), generate(t, sealer), generate(t, newSealer(t, strings.Repeat("f", 32)))
	now := start
	one, two := newRing(t, sealer, &now, former, newest), newRing(t, sealer, &now, former)
	if err := two.Replace([]Key{newest, former}); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, newRing(t, sealer, &now, one.Stored()[1]), sign(t, two)); err != nil {
		t.Errorf("they sign with different keys: %v", err)
	}
	before, err := two.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]Key{{former, foreign}, nil} {
		if err := two.Replace(keys); err == nil {
			t.Errorf("%d keys were taken", len(keys))
		}
	}
	if after, err := two.JWKS(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("published were %s and are %s, %v", before, after, err)
	}
}

func TestATokenIsGoodForItsLifetime(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	now := start.Add(900 * time.Millisecond) // a JWT counts whole seconds
	ring := newRing(t, sealer, &now, generate(t, sealer))
	signed, expiresAt, err := ring.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(15 * time.Minute); !expiresAt.Equal(want) {
		t.Errorf("it expires at %s, want %s", expiresAt, want)
	}
	now = expiresAt.Add(-time.Second)
	if err := verify(t, ring, signed); err != nil {
		t.Errorf("a second before: %v", err)
	}
	now = expiresAt
	if err := verify(t, ring, signed); !errors.Is(err, token.ErrExpired) {
		t.Errorf("at its end: %v, want ErrExpired", err)
	}
}

func TestWithoutAKeyNoProcessStarts(t *testing.T) {
	t.Parallel()
	if _, err := NewRing(Config{}, newSealer(t, keyEncryptionKey), nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("NewRing: %v, want ErrNoKey", err)
	}
}

func TestKeysDoNotShowInAPrint(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	key := generate(t, sealer)
	private, err := sealer.open(key)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	ring := newRing(t, sealer, &now, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		shown := fmt.Sprintf(verb, struct {
			sealer Sealer
			ring   held
		}{sealer, *ring.held.Load()})
		for _, canary := range []string{
			strings.Trim(fmt.Sprint(private.Seed()), "[]"), hex.EncodeToString(private.Seed()),
			fmt.Sprint(binary.BigEndian.Uint32([]byte(keyEncryptionKey))), fmt.Sprint(binary.LittleEndian.Uint32([]byte(keyEncryptionKey))),
		} {
			if strings.Contains(shown, canary) {
				t.Errorf("%s shows a key: %s", verb, shown)
			}
		}
	}
}
