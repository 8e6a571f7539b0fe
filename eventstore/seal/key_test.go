package seal

import (
	"fmt"
	"strings"
	"testing"
)

// fmt calls no method of what lies in an unexported field.
func TestAKeyDoesNotShowWhereverItLies(t *testing.T) {
	t.Parallel()
	key := Key{ID: "id", State: Alive, Bytes: NewSecret([]byte("canary"))}
	type holder struct{ key Key }
	type nested struct {
		deep  holder
		bare  Secret
		named map[string]Key
		list  []Secret
	}
	hidden := nested{deep: holder{key}, bare: key.Bytes, named: map[string]Key{"k": key}, list: []Secret{key.Bytes}}
	for name, value := range map[string]any{
		"secret": key.Bytes, "key": key, "pointer": &key, "nested": hidden, "pointer to nested": &hidden, "cached": cached{key: key},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			shown := fmt.Sprintf(verb, value)
			for _, canary := range []string{"canary", "99 97 110", "0x63, 0x61", "63616e617279"} {
				if strings.Contains(shown, canary) {
					t.Errorf("%s with %s: %s", name, verb, shown)
				}
			}
		}
	}
}
