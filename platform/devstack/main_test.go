package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// parentEnv makes the test binary the parent of a stack, for a test to kill.
const parentEnv = "DEVSTACK_TEST_PARENT"

// objectServerEnv makes it an object server: ours belongs to a package that
// imports this one.
const objectServerEnv = "DEVSTACK_TEST_OBJECT_SERVER"

// announcement is what the parent prints when its servers answer.
type announcement struct{ Admin, AMQP, S3 string }

func TestMain(m *testing.M) {
	if os.Getenv(objectServerEnv) != "" {
		fmt.Fprintln(os.Stderr, beObjectServer(os.Args[1:]))
		os.Exit(1)
	}
	if dir := os.Getenv(parentEnv); dir != "" {
		if err := beParent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// beParent runs a stack until it is killed.
func beParent(dir string) error {
	stack, err := Start(context.Background(), Config{Dir: dir, Broker: true, ObjectServer: objectServer(), Progress: os.Stderr})
	if err != nil {
		return err
	}
	if err := stack.AwaitBroker(context.Background()); err != nil {
		return err
	}
	if err := stack.AwaitS3(context.Background()); err != nil {
		return err
	}
	err = json.NewEncoder(os.Stdout).Encode(announcement{stack.AdminURL.Reveal(), stack.AMQPURL.Reveal(), stack.S3.URL().Reveal()})
	if err != nil {
		return err
	}
	return <-stack.Failed()
}

// objectServer is this binary. Its path may lead through a directory that the
// server's user cannot enter.
func objectServer() ObjectServer {
	return ObjectServer{Command: []string{"/proc/self/exe"}, Environ: []string{objectServerEnv + "=1"}}
}

// beObjectServer keeps what is put in files, for who knows the secret key.
func beObjectServer(arguments []string) error {
	if len(arguments) != 4 || arguments[0] != "--data" || arguments[2] != "--listen" {
		return fmt.Errorf("arguments %q", arguments)
	}
	dir, key := arguments[1], os.Getenv(SecretKeyEnv)
	if key == "" || os.Getenv(AccessKeyEnv) == "" {
		return errors.New("no keys")
	}
	if os.Geteuid() == 0 {
		return errors.New("it runs as root")
	}
	return http.ListenAndServe(arguments[3], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's
		if r.Header.Get("Authorization") != key {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		path := filepath.Join(dir, filepath.Base(r.URL.Path))
		if r.Method != http.MethodPut {
			http.ServeFile(w, r, path)
			return
		}
		content, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
}
