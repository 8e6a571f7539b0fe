// Package durable writes the files that a start depends on: keys, passwords,
// certificates, what the last start chose.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts a file in place whole or not at all, and on the disk before it
// returns: after a power loss it is the old one or the new one. The new file is
// made under a name that was free, so nobody's link is followed.
func Write(path string, text []byte, mode fs.FileMode) error {
	if err := write(path, text, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(path string, text []byte, mode fs.FileMode) error {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // gone already when all went well
	err = file.Chmod(mode)
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	// The name is the folder's, and is lost with it.
	within, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(within.Sync(), within.Close())
}
