package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	maxKeySet = 64 << 10
	maxKeys   = 100
)

// jwk is a JSON Web Key (RFC 7517) of an Ed25519 key (RFC 8037, section 2).
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	KeyID     string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

type keySet struct {
	Keys []jwk `json:"keys"`
}

// JWKS writes keys as a JSON Web Key Set, in the order given.
func JWKS(keys ...PublicKey) ([]byte, error) {
	set := keySet{Keys: make([]jwk, len(keys))}
	for i, key := range keys {
		if key.ID == "" || len(key.Key) != ed25519.PublicKeySize {
			return nil, errors.New("write key set: a key has no id or is not Ed25519")
		}
		set.Keys[i] = jwk{
			Type: "OKP", Curve: "Ed25519", Use: "sig", Algorithm: "EdDSA",
			KeyID: key.ID, X: base64.RawURLEncoding.EncodeToString(key.Key),
		}
	}
	return json.Marshal(set)
}

// readJWKS reads a set. Keys of other kinds are passed over, as RFC 7517,
// section 5 asks.
func readJWKS(text []byte) (map[string]PublicKey, error) {
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("read key set: larger than %d bytes", maxKeySet)
	}
	var set keySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("read key set: more than %d keys", maxKeys)
	}
	keys := make(map[string]PublicKey, len(set.Keys))
	for _, key := range set.Keys {
		if key.Type != "OKP" || key.Curve != "Ed25519" || key.Use != "sig" || key.KeyID == "" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("read key set: key %q is not Ed25519", key.KeyID)
		}
		keys[key.KeyID] = PublicKey{ID: key.KeyID, Key: x}
	}
	if len(keys) == 0 {
		return nil, errors.New("read key set: there is no usable key")
	}
	return keys, nil
}
