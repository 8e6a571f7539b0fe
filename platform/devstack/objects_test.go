package devstack

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-id/muster/platform/secret"
)

// An address with its keys is read as it is written.
func TestAddressOfS3(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://access:secret@127.0.0.1:9000",
		"https://access:se%2Fcret%40@s3.example.org?region=eu-central-1",
	} {
		store, err := parseS3(secret.New(address))
		if err != nil {
			t.Fatal(err)
		}
		if got := store.URL().Reveal(); got != address {
			t.Errorf("%s became %s", address, got)
		}
	}
}

// An address that is none is refused without quoting the key in it.
func TestAddressThatIsNotS3s(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "127.0.0.1:9000", "ftp://access:canary@host", "http://host:9000", "http://access@host", "http://:canary@host",
		"http://access:canary@host/bucket", "http://access:canary@", "http://access:canary@ho st",
	} {
		_, err := parseS3(secret.New(address))
		if err == nil || !strings.Contains(err.Error(), S3Env) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// S3 of somebody else's is used as it is, and never stopped.
func TestS3OfSomebodyElse(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	theirs := httptest.NewServer(http.NotFoundHandler())
	defer theirs.Close()
	for name, address := range map[string]string{"answers": theirs.URL, "does not answer": "http://127.0.0.1:1"} {
		address = strings.Replace(address, "http://", "http://access:secret@", 1)
		stack, err := Start(ctx, Config{Dir: dataDir(t), ObjectServer: objectServer(), Getenv: func(name string) string {
			return map[string]string{S3Env: address}[name]
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := stack.AwaitS3(ctx); (err == nil) != (name == "answers") {
			t.Errorf("one that %s: %v", name, err)
		}
		if stack.S3.URL().Reveal() != address || len(stack.Servers()) != 1 || stack.StopS3() == nil {
			t.Errorf("one that %s: %v is run by us", name, stack.Servers())
		}
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
	}
}
