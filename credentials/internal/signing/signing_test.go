package signing

import (
	"bytes"
	"errors"
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

func TestTheKeyThatBecameActiveLastSigns(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	former, next := generate(t, sealer), generate(t, sealer)
	next.ActivatesAt = start.Add(time.Hour)
	former.RetiresAt = start.Add(2 * time.Hour)
	now := start
	ring := newRing(t, sealer, &now, former, next)
	for _, step := range []struct {
		at        time.Duration
		signs     string
		published []string
	}{
		{0, former.ID, []string{former.ID, next.ID}}, // the next is published before it signs
		{time.Hour, next.ID, []string{former.ID, next.ID}},
		{2*time.Hour + 14*time.Minute, next.ID, []string{former.ID, next.ID}}, // its last token is still good
		{2*time.Hour + 15*time.Minute, next.ID, []string{next.ID}},
	} {
		now = start.Add(step.at)
		only := newRing(t, sealer, &now, map[string]Key{former.ID: former, next.ID: next}[step.signs])
		if err := verify(t, only, sign(t, ring)); err != nil {
			t.Errorf("after %s: not signed by the expected key: %v", step.at, err)
		}
		jwks, err := ring.JWKS()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{former.ID, next.ID} {
			want := id == step.published[0] || id == step.published[len(step.published)-1]
			if got := bytes.Contains(jwks, []byte(id)); got != want {
				t.Errorf("after %s: key published: %v, want %v", step.at, got, want)
			}
			if _, err := ring.Keys(t.Context(), id); (err == nil) != want {
				t.Errorf("after %s: Keys: %v, want published %v", step.at, err, want)
			}
		}
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

func TestWithoutAnActiveKeyNothingIsSigned(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, keyEncryptionKey)
	key := generate(t, sealer)
	key.RetiresAt = start.Add(time.Hour)
	now := start.Add(time.Hour)
	if _, _, err := newRing(t, sealer, &now, key).Sign(claims); !errors.Is(err, ErrNoKey) {
		t.Errorf("Sign: %v, want ErrNoKey", err)
	}
}
