package system

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/secret"
)

// secrets are random values, each in a file of mode 0600 that is made when it
// is first asked for.
type secrets struct{ dir string }

// path of the file that holds a secret of 32 random bytes, in hex.
func (s secrets) path(name string) (string, error) {
	_, err := s.value(name)
	return filepath.Join(s.dir, name), err
}

func (s secrets) value(name string) (secret.String, error) {
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path) //nolint:gosec // a name of ours
	if value := strings.TrimSpace(string(text)); value != "" {
		return secret.New(value), nil
	}
	if err == nil {
		return secret.String{}, fmt.Errorf("read secret %s: %s is empty", name, path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return secret.String{}, fmt.Errorf("read secret %s: %w", name, err)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	value := hex.EncodeToString(random[:])
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return secret.String{}, fmt.Errorf("make secret %s: %w", name, err)
	}
	if err := durable.Write(path, []byte(value+"\n"), 0o600); err != nil {
		return secret.String{}, fmt.Errorf("make secret %s: %w", name, err)
	}
	return secret.New(value), nil
}
