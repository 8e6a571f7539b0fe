package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-id/muster/platform/durable"
)

// A file is replaced whole, with its mode, and nothing is left beside it.
func TestWriteReplacesWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"first and longer", "second"} {
		if err := durable.Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("got %q, %v; want %q", got, err, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
}

// A link that somebody has put in the file's place is replaced, not followed.
func TestWriteFollowsNoLink(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, path := filepath.Join(folder, "target"), filepath.Join(folder, "file")
	if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := durable.Write(path, []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "theirs" {
		t.Errorf("the link's target is %q now, %v", got, err)
	}
}

// Where it cannot write, the old file stays.
func TestWriteKeepsTheOldFileOnFailure(t *testing.T) {
	t.Parallel()
	if err := durable.Write(filepath.Join(t.TempDir(), "missing", "file"), nil, 0o600); err == nil {
		t.Error("no error")
	}
}
