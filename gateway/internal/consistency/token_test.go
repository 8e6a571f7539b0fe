package consistency

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/secret"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

func signer(t testing.TB, key string) *Signer {
	t.Helper()
	s, err := NewSigner(secret.NewBytes([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	ourKey   = strings.Repeat("a", MinKeyBytes)
	position = &eventlogv1.Position{Log: "identity", Epoch: 3, Stream: "user-0192d1a0-0000-7000-8000-000000000001", Version: 7}
)

func TestATokenComesBackAsItsPosition(t *testing.T) {
	t.Parallel()
	s := signer(t, ourKey)
	token, err := s.Sign(position)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) > 1024 {
		t.Fatalf("token of %d characters: LoginRequest accepts 1024", len(token))
	}
	got, err := s.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, position) {
		t.Fatalf("got %v, want %v", got, position)
	}
}

func TestNoPositionIsTheEmptyToken(t *testing.T) {
	t.Parallel()
	s := signer(t, ourKey)
	if token, err := s.Sign(nil); token != "" || err != nil {
		t.Fatalf("Sign(nil) = %q, %v", token, err)
	}
	if got, err := s.Parse(""); got != nil || err != nil {
		t.Fatalf(`Parse("") = %v, %v`, got, err)
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	t.Parallel()
	s := signer(t, ourKey)
	token, err := s.Sign(position)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte(nil), raw...)
			changed[i] ^= 1 << bit
			if _, err := s.Parse(base64.RawURLEncoding.EncodeToString(changed)); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d, bit %d changed: %v", i, bit, err)
			}
		}
	}
	for cut := range token {
		if cut == 0 {
			continue // the empty token is no token
		}
		if _, err := s.Parse(token[:cut]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("cut after %d characters: %v", cut, err)
		}
	}
}

func TestATokenOfAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	token, err := signer(t, strings.Repeat("b", MinKeyBytes)).Sign(position)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer(t, ourKey).Parse(token); !errors.Is(err, ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
}

func TestATokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	s := signer(t, ourKey)
	// Positions of different lengths, so that one of the tokens has spare bits
	// in its last character.
	for _, stream := range []string{"user-1", "user-12", "user-123"} {
		token, err := s.Sign(&eventlogv1.Position{Log: "identity", Epoch: 1, Stream: stream, Version: 1})
		if err != nil {
			t.Fatal(err)
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, last := range alphabet {
			other := token[:len(token)-1] + string(last)
			if other == token {
				continue
			}
			if _, err := s.Parse(other); !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q accepted for %q", other, token)
			}
		}
		for _, other := range []string{token + "=", token + "\n", " " + token, token[:4] + "\n" + token[4:]} {
			if _, err := s.Parse(other); !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q accepted", other)
			}
		}
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := NewSigner(secret.NewBytes([]byte("short"))); err == nil {
		t.Fatal("a key of 5 bytes was accepted")
	}
}

func FuzzParse(f *testing.F) {
	s := signer(f, ourKey)
	token, err := s.Sign(position)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Add("AQ")
	f.Add(strings.Repeat("A", 200))
	f.Fuzz(func(t *testing.T, token string) {
		got, err := s.Parse(token)
		switch {
		case err != nil:
			if !errors.Is(err, ErrInvalid) || got != nil {
				t.Fatalf("Parse(%q) = %v, %v", token, got, err)
			}
		case token == "":
		default:
			// Only our own signature gets here, so signing again gives the same text.
			again, err := s.Sign(got)
			if err != nil || again != token {
				t.Fatalf("%q read as %v, which signs as %q (%v)", token, got, again, err)
			}
		}
	})
}
