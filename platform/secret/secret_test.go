package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/muster-id/muster/platform/secret"
)

// Whichever way a secret is printed, logged or marshalled, it does not show.
func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	text, key := secret.New("canary"), secret.NewBytes([]byte("canary"))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "text", text, "key", key, "inside", struct{ S secret.String }{text})
	inJSON, err := json.Marshal(map[string]any{"text": text, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]string{
		"printed":    fmt.Sprintf("%v %+v %#v %s %q", text, text, text, text, text),
		"bytes":      fmt.Sprintf("%v %+v %#v %s", key, key, key, key),
		"in structs": fmt.Sprintf("%v %+v", struct{ S secret.String }{text}, &struct{ B secret.Bytes }{key}),
		"logged":     log.String(),
		"marshalled": string(inJSON),
	} {
		if strings.Contains(shown, "canary") || strings.Contains(shown, "99 97 110") {
			t.Errorf("%s: %s", name, shown)
		}
		if !strings.Contains(shown, secret.Redacted) {
			t.Errorf("%s does not show that something is redacted: %s", name, shown)
		}
	}
}

// An empty secret looks empty, so that a missing setting can be seen.
func TestEmptySecretLooksEmpty(t *testing.T) {
	t.Parallel()
	if s := secret.New("").String(); s != "" {
		t.Errorf("got %q", s)
	}
}
