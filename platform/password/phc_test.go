package password

import (
	"errors"
	"testing"

	"github.com/muster-id/muster/platform/secret"
)

// reference is a test vector of the reference implementation: "password",
// "somesalt", 256 KiB, two passes, one lane.
const reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestAVerifierOfTheReferenceImplementationVerifies(t *testing.T) {
	t.Parallel()
	got, err := NewPool(cheap, 1, 1).Verify(t.Context(), secret.New(reference), secret.New("password"))
	if err != nil || !got {
		t.Errorf("Verify = %v, %v; want true", got, err)
	}
}

func TestWhatIsNoVerifierWithinBoundsIsRefused(t *testing.T) {
	t.Parallel()
	for name, phc := range map[string]string{
		"empty":                    "",
		"bcrypt":                   "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":                  "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"former version":           "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"a gigabyte of memory":     "$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"a million passes":         "$argon2id$v=19$m=256,t=1000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"no lanes":                 "$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"memory under eight lanes": "$argon2id$v=19$m=8,t=2,p=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"costs in another order":   "$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"a padded number":          "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"padded base64":            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"a line break in base64":   "$argon2id$v=19$m=256,t=2,p=1$c29tZX\nNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"a salt of four bytes":     "$argon2id$v=19$m=256,t=2,p=1$c29tZQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"an empty key":             "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
		"something after it":       reference + "$",
	} {
		if _, err := decode(secret.New(phc)); !errors.Is(err, ErrVerifier) {
			t.Errorf("%s: %v, want ErrVerifier", name, err)
		}
	}
}

func FuzzDecodeAcceptsOneSpellingWithinBounds(f *testing.F) {
	f.Add(reference)
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$$")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decode(secret.New(text))
		if err != nil {
			return
		}
		if again := v.encode().Reveal(); again != text {
			t.Errorf("%q was accepted and is spelled %q", text, again)
		}
		if err := v.params.Validate(); err != nil {
			t.Errorf("%q was accepted: %v", text, err)
		}
	})
}
