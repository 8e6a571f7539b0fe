package e2e_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/muster-id/muster/muster/internal/cli"
	"github.com/muster-id/muster/muster/internal/system"
)

// mainEnv makes the test binary behave as `muster`, for tests that need it as a
// process of its own: to kill it, or to run services separately.
const mainEnv = "MUSTER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	status := m.Run()
	if common.running != nil {
		if err := common.running.Stop(); err != nil {
			_, _ = os.Stderr.WriteString("stop the shared system: " + err.Error() + "\n")
			status = 1
		}
		_ = os.RemoveAll(common.dir)
	}
	os.Exit(status)
}

// world is a running Muster on servers of its own.
type world struct {
	*system.System
	url string
	dir string
	// shutDown stops it, once; the end of its test does so too.
	shutDown func()
}

// common is the system that tests share which disturb nothing.
var common struct {
	once    sync.Once
	running *system.System
	dir     string
	err     error
}

func shared(t *testing.T) *world {
	t.Helper()
	common.once.Do(func() {
		if common.dir, common.err = os.MkdirTemp("", "muster-e2e-"); common.err == nil {
			common.running, common.err = system.Start(context.Background(), options(common.dir))
		}
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	return &world{System: common.running, url: common.running.URL, dir: common.dir}
}

// start starts a system that one test may disturb, with more in its environment.
func start(t *testing.T, environ ...string) *world {
	t.Helper()
	dir := t.TempDir()
	with := options(dir)
	with.Environ = append(with.Environ, environ...)
	running, err := system.Start(t.Context(), with)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{System: running, url: running.URL, dir: dir}
	w.shutDown = sync.OnceFunc(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.shutDown)
	return w
}

func options(dir string) system.Options {
	return system.Options{Dir: dir, Broker: true, Throwaway: true, Environ: serverPrograms(os.Environ())}
}

// serverPrograms leaves out the addresses of servers: these tests stop and wipe
// theirs.
func serverPrograms(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "MUSTER_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// h2c is a client that speaks HTTP/2 without TLS, as gRPC does.
func h2c(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (w *world) adminPassword(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.AdminPassword)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(w.AdminPassword)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file has mode %v", info.Mode().Perm())
	}
	return strings.TrimSpace(string(text))
}
