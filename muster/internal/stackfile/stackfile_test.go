package stackfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/muster-id/muster/muster/internal/stackfile"
)

func TestOnlyItsOwnerReadsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := stackfile.File{PID: 7, Started: time.Unix(1, 0).UTC(), Postgres: "postgres://u:p@127.0.0.1/x", Databases: map[string]string{"identity": "url"}}
	if err := stackfile.Write(dir, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, stackfile.Name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600, since it holds passwords", info.Mode(), err)
	}
	got, err := stackfile.Read(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v", got, err)
	}
	if err := errors.Join(stackfile.Remove(dir), stackfile.Remove(dir)); err != nil {
		t.Errorf("Remove, twice: %v", err)
	}
	if _, err := stackfile.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read after Remove: %v", err)
	}
}
