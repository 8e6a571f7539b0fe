package token

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"
)

// What is read as a key set can be verified with: each key has an id and the size
// that ed25519.Verify panics without.
func FuzzReadJWKS(f *testing.F) {
	key := PublicKey{ID: "1", Key: make(ed25519.PublicKey, ed25519.PublicKeySize)}
	text, err := JWKS(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, text := range []string{
		`{}`, `{"keys":null}`, `{"keys":[{}]}`, `{"keys":[{"kty":"RSA"},{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"1","x":"AA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"","x":""}]}`, `[]`, `{"keys":{}}`, `{"keys":[{"x":1}]}`, `{`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := readJWKS(text)
		if err != nil {
			return
		}
		var all []PublicKey
		for id, key := range keys {
			if id == "" || key.ID != id || len(key.Key) != ed25519.PublicKeySize {
				t.Fatalf("%s holds key %q of %d bytes", text, id, len(key.Key))
			}
			all = append(all, key)
		}
		again, err := JWKS(all...)
		if err != nil || !json.Valid(again) {
			t.Errorf("%s was read and cannot be written: %v", text, err)
		}
	})
}
