package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-id/muster/muster/internal/stackfile"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/teststack"
)

// startBound is how long a start may take on a busy machine.
const startBound = 90 * time.Second

// command is `muster …` as a process of its own.
func command(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(context.WithoutCancel(t.Context()), binary, arguments...)
	c.Env = append(serverPrograms(os.Environ()), mainEnv+"=1")
	return c
}

// dataDir is a data directory that is gone with the test, what it links to
// included.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := devstack.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// running is `muster up` as a process of its own.
type running struct {
	process *os.Process
	said    bytes.Buffer // complete when it has ended
	err     error        // of its end
	ended   chan struct{}
}

// up starts `muster up` and waits until it says that it is up.
func up(t *testing.T, dir string, arguments ...string) (*running, *world, stackfile.File) {
	t.Helper()
	c := command(t, append([]string{"up", "--data", dir}, arguments...)...)
	r := &running{ended: make(chan struct{})}
	c.Stdout, c.Stderr = &r.said, &r.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = c.Process
	go func() {
		defer close(r.ended)
		r.err = c.Wait()
	}()
	t.Cleanup(func() {
		_ = r.process.Signal(syscall.SIGTERM)
		r.await(t)
	})
	var file stackfile.File
	eventually(t, startBound, "stack.json of this process is there", func() bool {
		select {
		case <-r.ended:
			t.Fatalf("it ended: %v\n%s", r.err, r.said.String())
		default:
		}
		var err error
		file, err = stackfile.Read(dir)
		return err == nil && file.PID == r.process.Pid
	})
	return r, &world{url: file.API, dir: dir}, file
}

// await waits for its end.
func (r *running) await(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(startBound):
		_ = r.process.Kill()
		t.Error("it does not end")
	}
}

// pids of everything that a stack.json names.
func pids(file stackfile.File) []int {
	all := []int{file.PID}
	for _, server := range file.Servers {
		all = append(all, server.PID)
	}
	for _, service := range file.Services {
		all = append(all, service.PID)
	}
	return all
}

func gone(t *testing.T, processes []int) {
	t.Helper()
	for _, pid := range processes {
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		eventually(t, 20*time.Second, fmt.Sprintf("process %d is gone (%.300q)", pid, name), func() bool {
			status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			// A zombie has ended; who started it, has not looked yet.
			return errors.Is(err, fs.ErrNotExist) || bytes.Contains(status, []byte(") Z "))
		})
	}
}

// Killed at once with -9, it leaves no process behind, and the next start finds
// the data whole, with the same addresses and the admin's password untouched.
func TestKilledStartFindsItsData(t *testing.T) {
	// Not beside others: they would take its ports between the two starts.
	dir := dataDir(t)
	first, w, file := up(t, dir, "--port", freePort(t))
	zoe := somebody("zoe")
	avatar := w.putAvatar(t, photograph(t, 100, 100, ""), w.joins(t, zoe.Username).token).ok(t).text("avatarUrl")
	password, err := os.ReadFile(file.AdminPasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, stackfile.Name)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("stack.json: %v %v", info.Mode(), err)
	}
	if err := first.process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pids(file))

	_, w, again := up(t, dir, "--port", strings.TrimPrefix(file.API, "http://127.0.0.1:"))
	w.call(t, "AuthService/Login", zoe.login()).ok(t)
	w.call(t, "AuthService/Register", somebody("zoe-two")).ok(t)
	w.get(t, avatar).isAvatar(t)
	if again.Postgres != file.Postgres || again.API != file.API || again.S3 != file.S3 || again.S3.Endpoint == "" {
		t.Error("the addresses have changed")
	}
	if now, err := os.ReadFile(again.AdminPasswordFile); err != nil || !bytes.Equal(now, password) {
		t.Error("the admin's password has changed")
	}
}

// Each service is a process of its own with --separate, and `down` ends them all.
func TestSeparateProcessesAndDown(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	_, w, file := up(t, dir, "--separate", "--port", freePort(t))
	seen := map[int]bool{file.PID: true}
	users := map[string]bool{}
	for name, service := range file.Services {
		if seen[service.PID] {
			t.Errorf("%s shares process %d", name, service.PID)
		}
		seen[service.PID] = true
	}
	for _, address := range file.Databases {
		user, _, _ := strings.Cut(strings.TrimPrefix(address, "postgres://"), ":")
		users[user] = true
	}
	if len(users) != len(file.Databases) || len(users) < 4 {
		t.Errorf("database roles %v", users)
	}
	p := somebody("separate")
	if !w.call(t, "AuthService/Register", p).ok(t).bool("signInReady") {
		t.Error("not ready to sign in")
	}
	token := w.call(t, "AuthService/Login", p.login()).ok(t).text("accessToken")
	w.call(t, "UserService/GetMe", map[string]any{}, bearer(token)).ok(t)
	w.get(t, w.putAvatar(t, photograph(t, 100, 100, ""), bearer(token)).ok(t).text("avatarUrl")).isAvatar(t)
	for name, service := range file.Services {
		if metrics := w.get(t, "http://"+service.Metrics+"/metrics").ok(t); !strings.Contains(metrics.raw, "go_goroutines") {
			t.Errorf("%s has no metrics at %s", name, service.Metrics)
		}
	}

	// A second one in the same directory is refused, with who holds it.
	second := command(t, "up", "--data", dir)
	if said, err := second.CombinedOutput(); err == nil || !strings.Contains(string(said), strconv.Itoa(file.PID)) {
		t.Errorf("a second start: %v %s", err, said)
	}
	if said, err := command(t, "down", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("down: %v %s", err, said)
	}
	gone(t, pids(file))
	if _, err := stackfile.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stack.json is left: %v", err)
	}
}

// Without a broker everything works, by the tail of the log alone.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	_, w, file := up(t, dataDir(t), "--no-broker", "--port", freePort(t))
	if file.AMQP != "" {
		t.Error("there is a broker")
	}
	for i := range 5 {
		p := somebody("tail-" + strconv.Itoa(i))
		if !w.call(t, "AuthService/Register", p).ok(t).bool("signInReady") {
			t.Error("not ready to sign in")
		}
		w.call(t, "AuthService/Login", p.login()).ok(t)
	}
}

// With an address of S3 in the environment none of ours is started, and the
// objects go there. The address of a file ends with its time.
func TestS3OfSomebodyElse(t *testing.T) {
	theirs := teststack.Bucket(t)
	s := start(t, devstack.S3Env+"="+os.Getenv(teststack.S3Env), "MUSTER_MEDIA_S3_BUCKET="+theirs.Bucket, "MUSTER_MEDIA_URL_LIFETIME=1s")
	for _, server := range s.Servers.Servers() {
		if server.Name == "S3" {
			t.Error("one of ours runs")
		}
	}
	if err := s.Servers.StopS3(); !errors.Is(err, devstack.ErrNotOurs) {
		t.Errorf("StopS3: %v", err)
	}
	ada := s.joins(t, "ada-theirs")
	s.get(t, s.putAvatar(t, photograph(t, 100, 100, ""), ada.token).ok(t).text("avatarUrl")).isAvatar(t)
	if keys := theirs.Objects(t); len(keys) != 1 || !strings.Contains(keys[0], ada.id) {
		t.Errorf("objects %v", keys)
	}
	address := s.call(t, "MediaService/GetFileUrl", file(s.uploads(t, ada.token, "brief.txt", []byte("brief"))), ada.token).ok(t).text("url")
	eventually(t, 30*time.Second, "the address has expired", func() bool {
		got := s.get(t, address)
		return got.status == http.StatusForbidden && strings.Contains(got.raw, "expired")
	})
}

// Ctrl-C ends all of it cleanly: no process is left, the status is 0.
func TestCtrlCEndsEverything(t *testing.T) {
	t.Parallel()
	r, w, file := up(t, dataDir(t), "--port", freePort(t))
	response, err := http.Get(w.url + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := r.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.await(t)
	gone(t, pids(file))
	if r.err != nil {
		t.Errorf("it ended with %v\n%s", r.err, r.said.String())
	}
}

// freePort keeps these tests off the usual port, which `muster up` of whoever
// runs them may hold. It is below the range that the kernel takes for outgoing
// connections.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := 12000 + rand.N(8000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(port)
	}
	t.Fatal("no free port")
	return ""
}

// A port that is asked for and taken is told at once, before anything starts.
func TestTakenPortIsToldAtOnce(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{port: "--port", "70000": "--port"} {
		said, err := command(t, "up", "--no-broker", "--data", dataDir(t), "--port", given).CombinedOutput()
		if err == nil || !strings.Contains(string(said), want) || !strings.Contains(string(said), given) {
			t.Errorf("port %s: %v %s", given, err, said)
		}
	}
}
