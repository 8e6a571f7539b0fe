package session

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/secret"
)

var tokens = NewTokens(secret.NewBytes([]byte("0123456789abcdef0123456789abcdef")))

func TestATokenIsReadAsItWasWrittenAndAlwaysTheSameText(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	token := tokens.Write(id, 7)
	session, number, err := tokens.Read(token)
	if err != nil || session != id || number != 7 {
		t.Errorf("Read = %s, %d, %v; want %s, 7", session, number, err, id)
	}
	if !tokens.Write(id, 7).Equal(token) {
		t.Error("the same child is another text")
	}
}

func TestATokenThatWasNotWrittenWithThisKeyIsInvalid(t *testing.T) {
	t.Parallel()
	good := tokens.Write(uuid.New(), 7).Reveal()
	other := NewTokens(secret.NewBytes([]byte("another key of thirty-two bytes."))).Write(uuid.New(), 7).Reveal()
	for name, token := range map[string]string{
		"empty":              "",
		"prefix only":        tokenPrefix,
		"without prefix":     strings.TrimPrefix(good, tokenPrefix),
		"another version":    "mrt2_" + strings.TrimPrefix(good, tokenPrefix),
		"cut":                good[:len(good)-1],
		"longer":             good + "A",
		"another key":        other,
		"a line break in it": good[:20] + "\n" + good[21:],
		"padding":            good[:len(good)-1] + "=",
		"another number":     good[:34] + flip(good[34:35]) + good[35:],
		"another session":    good[:8] + flip(good[8:9]) + good[9:],
		"another signature":  good[:60] + flip(good[60:61]) + good[61:],
	} {
		if _, _, err := tokens.Read(secret.New(token)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func flip(letter string) string {
	if letter == "A" {
		return "B"
	}
	return "A"
}

func FuzzReadAcceptsOnlyWhatWasWritten(f *testing.F) {
	id := uuid.MustParse("0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a")
	f.Add(tokens.Write(id, 1).Reveal())
	f.Add(tokens.Write(id, 1<<40).Reveal())
	f.Add(tokenPrefix + strings.Repeat("A", 75))
	f.Fuzz(func(t *testing.T, text string) {
		session, number, err := tokens.Read(secret.New(text))
		if err == nil && tokens.Write(session, number).Reveal() != text {
			t.Errorf("%q was accepted and never written", text)
		}
	})
}
