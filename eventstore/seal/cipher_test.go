package seal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

// An origin is opened by the audit of sign-ins and by nothing else, so the codec
// has no way to it; the test goes in by the back door.
func TestOriginIsSealedForItsEventAndPurpose(t *testing.T) {
	t.Parallel()
	key := NewSecret([]byte(strings.Repeat("k", KeySize)))
	event := &eventstore.Event{ID: uuid.Must(uuid.NewV7()), Log: "people", Stream: "user-1", Type: "test.Left"}
	sealed, err := lock(key, []byte("192.0.2.7"), place(event, forMetadata))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := unlock(key, sealed, place(event, forMetadata)); err != nil || string(plain) != "192.0.2.7" {
		t.Errorf("got %q, %v", plain, err)
	}
	if _, err := unlock(key, sealed, place(event, forPayload)); err == nil {
		t.Error("an origin opens as a payload")
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	key := Key{ID: "1", State: Alive, Bytes: NewSecret([]byte("canary"))}
	marshalled, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprint(key), fmt.Sprintf("%+v", key), fmt.Sprintf("%#v", key), fmt.Sprintf("%x", key), string(marshalled), key.Bytes.LogValue().String()} {
		if strings.Contains(printed, "canary") || strings.Contains(printed, fmt.Sprintf("%x", "canary")) {
			t.Errorf("printed: %s", printed)
		}
	}
}
