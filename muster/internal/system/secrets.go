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
	if err == nil {
		return secret.New(strings.TrimSpace(string(text))), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return secret.String{}, fmt.Errorf("read secret %s: %w", name, err)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	value := hex.EncodeToString(random[:])
	if err := write(path, []byte(value+"\n")); err != nil {
		return secret.String{}, fmt.Errorf("make secret %s: %w", name, err)
	}
	return secret.New(value), nil
}

// write puts a file of mode 0600 in place whole or not at all.
func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // gone after the rename
	if _, err = file.Write(text); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
