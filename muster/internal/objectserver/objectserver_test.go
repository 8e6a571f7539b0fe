package objectserver

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// One server at a time: versitygw keeps its state in globals.

// serve runs a server on a directory until the returned function is called.
func serve(t *testing.T, dir string) (teststack.S3, func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	config := Config{Dir: dir, Listen: address, AccessKey: "access", SecretKey: secret.New("secret key")}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	stop := func() {
		if ended == nil {
			return
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		ended = nil
	}
	t.Cleanup(stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		response, err := http.Get("http://" + address)
		if err == nil {
			if err := response.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusForbidden {
				t.Errorf("a call without keys is answered with %s", response.Status)
			}
			break
		}
		select {
		case err := <-ended:
			ended = nil
			t.Fatalf("Run ended: %v", err)
		case <-late:
			t.Fatalf("no answer: %v", err)
		case <-tick.C:
		}
	}
	return teststack.S3{Endpoint: "http://" + address, Region: Region, AccessKey: config.AccessKey, SecretKey: config.SecretKey, Bucket: "bucket"}, stop
}

// What is put is there after the next start, readable for its owner alone.
func TestObjectsOutliveTheServer(t *testing.T) {
	for _, attributes := range []string{"in the files", "beside them"} {
		t.Run(attributes, func(t *testing.T) {
			dir := t.TempDir()
			if attributes == "beside them" {
				if err := os.Mkdir(filepath.Join(dir, "attributes"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			store, stop := serve(t, dir)
			store.Put(t, "", nil) // the bucket
			store.Put(t, "files/a/b", []byte("kept"))
			stop()
			again, stop := serve(t, dir)
			defer stop()
			if got := again.Get(t, "files/a/b"); !bytes.Equal(got, []byte("kept")) {
				t.Errorf("got %q", got)
			}
			if got := again.Objects(t); !slices.Equal(got, []string{"files/a/b"}) {
				t.Errorf("objects %v", got)
			}
			info, err := os.Stat(filepath.Join(dir, "objects", "bucket", "files", "a", "b"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v: others can read it", info.Mode(), err)
			}
			again.Delete(t, "files/a/b")
			if got := again.Get(t, "files/a/b"); got != nil {
				t.Errorf("deleted, and still %q", got)
			}
		})
	}
}

// Without keys it does not start, since everybody would be let in.
func TestNoServerWithoutKeys(t *testing.T) {
	for name, config := range map[string]Config{
		"no access key": {SecretKey: secret.New("secret")},
		"no secret key": {AccessKey: "access"},
	} {
		config.Dir, config.Listen = t.TempDir(), "127.0.0.1:0"
		if err := Run(t.Context(), config); err == nil {
			t.Errorf("%s: it has run", name)
		}
	}
}
