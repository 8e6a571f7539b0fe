package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/muster-id/muster/platform/secret"
)

func TestAKeyIsReadInEverySpelling(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0xfb, 0xef}, 16) // in base64 it needs the characters that the alphabets differ in
	for _, text := range []string{
		hex.EncodeToString(key),
		strings.ToUpper(hex.EncodeToString(key)),
		" " + base64.StdEncoding.EncodeToString(key) + "\n",
		base64.RawStdEncoding.EncodeToString(key),
		base64.URLEncoding.EncodeToString(key),
		base64.RawURLEncoding.EncodeToString(key),
	} {
		if got, err := secret.ParseKey(secret.New(text)); err != nil || !bytes.Equal(got.Reveal(), key) {
			t.Errorf("%q: another key, %v", text, err)
		}
	}
}

func TestWhatIsNoKeyIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	key := make([]byte, secret.KeySize)
	for _, text := range []string{"", "canary", hex.EncodeToString(key[1:]), base64.StdEncoding.EncodeToString(append(key, 0))} {
		got, err := secret.ParseKey(secret.New(text))
		if !errors.Is(err, secret.ErrKey) || !got.Empty() || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want ErrKey", text, err)
		}
	}
}
