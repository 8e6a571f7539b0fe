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
	type hidden struct {
		text secret.String
		key  secret.Bytes
		list []secret.String
	}
	inside := hidden{text, key, []secret.String{text}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for what, value := range map[string]any{"text": text, "key": key, "hidden": inside, "pointer": &inside, "nested": []any{struct{ h *hidden }{&inside}, inside}} {
			shown := fmt.Sprintf(verb, value)
			for _, canary := range []string{"canary", "63616e617279", "63616E617279", "99 97 110", "0x63, 0x61"} {
				if strings.Contains(shown, canary) {
					t.Errorf("%s with %s: %s", what, verb, shown)
				}
			}
		}
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

// It is the text that counts, not where it lies.
func TestSecretsAreComparedByTheirText(t *testing.T) {
	t.Parallel()
	if !secret.New("a").Equal(secret.New("a")) || secret.New("a").Equal(secret.New("b")) || !secret.New("").Equal(secret.String{}) {
		t.Error("compared by something else")
	}
}

// An empty secret looks empty, so that a missing setting can be seen.
func TestEmptySecretLooksEmpty(t *testing.T) {
	t.Parallel()
	if s := secret.New("").String(); s != "" {
		t.Errorf("got %q", s)
	}
}
