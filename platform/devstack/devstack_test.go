package devstack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
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

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/platform/secret"
)

// dataDir is a data directory whose server data are deleted too.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), ".muster")
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// The whole life of a stack, on the real programs: killed, started again,
// broker wiped, stopped.
func TestStackSurvivesTheKillOfItsParent(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	dir := dataDir(t)

	parent, said := startParent(ctx, t, dir)
	writeTable(ctx, t, said.Admin)
	writeMessage(ctx, t, said.AMQP)
	object(ctx, t, said.S3, http.MethodPut)
	folders := dataFolders(t, dir)
	if len(processesIn(t, folders)) == 0 {
		t.Fatal("no server runs in the data folders: the test would prove nothing")
	}

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed

	awaitGone(ctx, t, dir)
	start := time.Now()
	stack, err := Start(ctx, Config{Dir: dir, Broker: true, ObjectServer: objectServer(), Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := stack.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	defer stop()
	if err := stack.AwaitBroker(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stack.AwaitS3(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("second start, after kill -9: %v", time.Since(start))

	t.Run("same addresses", func(t *testing.T) {
		if stack.AdminURL.Reveal() != said.Admin || stack.AMQPURL.Reveal() != said.AMQP || stack.S3.URL().Reveal() != said.S3 {
			t.Error("the second start chose other addresses")
		}
	})
	t.Run("only our own servers are left", func(t *testing.T) {
		for pid, ancestor := range processesIn(t, folders) {
			if ancestor != os.Getpid() {
				t.Errorf("process %d was left by the killed parent", pid)
			}
		}
	})
	t.Run("table, object and message are there", func(t *testing.T) {
		if got := object(ctx, t, said.S3, http.MethodGet); got != "kept" {
			t.Errorf("object = %q, want the one written before the kill", got)
		}
		readTable(ctx, t, stack.AdminURL.Reveal())
		if got := readMessage(ctx, t, stack.AMQPURL.Reveal()); got != "kept" {
			t.Errorf("message = %q, want the one written before the kill", got)
		}
	})
	t.Run("a second stack in the directory is refused", func(t *testing.T) {
		_, err := Start(ctx, Config{Dir: dir})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.PID != os.Getpid() {
			t.Errorf("Start = %v, want a BusyError with pid %d", err, os.Getpid())
		}
	})
	t.Run("a wiped broker is empty, on the same address", func(t *testing.T) {
		writeMessage(ctx, t, stack.AMQPURL.Reveal())
		if err := stack.WipeBroker(ctx); err != nil {
			t.Fatal(err)
		}
		if err := stack.StartBroker(ctx); err != nil {
			t.Fatal(err)
		}
		if queueExists(ctx, t, said.AMQP) {
			t.Error("the queue outlived the wipe")
		}
	})
	kill := func(t *testing.T, name string) (pid int) {
		t.Helper()
		for _, server := range stack.Servers() {
			if server.Name == name {
				if err := syscall.Kill(server.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				return server.PID
			}
		}
		t.Fatalf("%s does not run", name)
		return 0
	}
	comesBack := func(t *testing.T, name string) {
		t.Helper()
		killed := kill(t, name)
		for back := false; !back; {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				t.Fatal("it does not come back")
			}
			for _, server := range stack.Servers() {
				back = back || server.Name == name && server.PID != killed
			}
		}
		select {
		case err := <-stack.Failed():
			t.Errorf("Failed gave %v", err)
		default:
		}
	}
	t.Run("a killed broker comes back with its data, and nothing else ends", func(t *testing.T) {
		writeMessage(ctx, t, stack.AMQPURL.Reveal())
		comesBack(t, brokerTitle)
		if !queueExists(ctx, t, stack.AMQPURL.Reveal()) {
			t.Error("its queue is gone")
		}
	})
	t.Run("a killed S3 comes back with its data, and nothing else ends", func(t *testing.T) {
		comesBack(t, objectsTitle)
		if got := object(ctx, t, said.S3, http.MethodGet); got != "kept" {
			t.Errorf("its object is %q", got)
		}
	})
	t.Run("a stopped S3 starts again on the same port", func(t *testing.T) {
		for _, err := range []error{stack.StopS3(), stack.StopS3(), stack.StartS3(ctx), stack.StartS3(ctx)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := object(ctx, t, said.S3, http.MethodGet); got != "kept" {
			t.Errorf("its object is %q", got)
		}
	})
	t.Run("the end of PostgreSQL is reported", func(t *testing.T) {
		kill(t, postgresTitle)
		select {
		case err := <-stack.Failed():
			if !strings.Contains(err.Error(), "PostgreSQL ended by itself: signal: killed") {
				t.Errorf("Failed gave %v", err)
			}
		case <-ctx.Done():
			t.Error("nothing was reported")
		}
	})

	start = time.Now()
	stop()
	t.Logf("stop: %v", time.Since(start))
	if left := processesIn(t, folders); len(left) > 0 {
		t.Errorf("processes left after Stop: %v", left)
	}
	if pid, _, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("Holder = %d, %v after Stop", pid, err)
	}
}

func TestTakenPortIsLeftToItsOwner(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	dir := dataDir(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // only held
	port := taken.Addr().(*net.TCPAddr).Port

	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// An earlier start had this port.
	text := `{"id":"` + random(4) + `","ports":{"postgres":` + strconv.Itoa(port) + `}}`
	if err := os.WriteFile(filepath.Join(dir, "servers.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stack, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := stack.AwaitBroker(ctx); err != nil {
		t.Errorf("AwaitBroker without a broker: %v", err)
	}
	config, err := pgx.ParseConfig(stack.AdminURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if int(config.Port) == port {
		t.Errorf("PostgreSQL is on the taken port %d", port)
	}
	again, err := os.ReadFile(filepath.Join(dir, "servers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(again), strconv.Itoa(int(config.Port))) {
		t.Errorf("port %d is not remembered in %s", config.Port, again)
	}
}

func TestThrowawayLeavesNoData(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	dir := dataDir(t)
	stack, err := Start(ctx, Config{Dir: dir, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Join(dir, postgresName))
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data in %s after Stop: %v", folder, err)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	ctx, cancel := context.WithCancel(bounded(t))
	// The first line is said when PostgreSQL's data are about to be made.
	_, err := Start(ctx, Config{Dir: dir, Progress: writerFunc(func([]byte) { cancel() })})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Start = %v, want the context's end", err)
	}
	if pid, _, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("Holder = %d, %v after a start that was cancelled", pid, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(text []byte) (int, error) {
	f(text)
	return len(text), nil
}

func TestFailedServerIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	dir := dataDir(t)
	stack, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Stop(); err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Join(dir, postgresName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "data", "postgresql.auto.conf"), []byte("no_such_setting = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Start(ctx, Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("Start = %v, want the server's own words", err)
	}
}

func startParent(ctx context.Context, t *testing.T, dir string) (*exec.Cmd, announcement) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(ctx, program)
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		_ = parent.Process.Kill()
		t.Fatalf("the parent did not come up: %v", errors.Join(err, parent.Wait()))
	}
	t.Logf("first start: %v", time.Since(start))
	var said announcement
	if err := json.Unmarshal(line, &said); err != nil {
		t.Fatal(err)
	}
	return parent, said
}

// awaitGone waits until the servers of a killed parent are gone by themselves,
// well before a next start would kill them.
func awaitGone(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, leftoverBound/2)
	defer cancel()
	for start := time.Now(); ; {
		pid, _, err := Holder(dir)
		if err != nil {
			t.Fatal(err)
		}
		if pid == 0 {
			t.Logf("gone %v after the kill", time.Since(start))
			return
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			t.Fatal("the servers outlive their killed parent")
		}
	}
}

func dataFolders(t *testing.T, dir string) []string {
	t.Helper()
	var folders []string
	for _, server := range servers() {
		folder, err := filepath.EvalSymlinks(filepath.Join(dir, server))
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	return folders
}

// processesIn gives the processes that stand in the folders, as every process
// of both servers does, and for each the ancestor outside of them.
func processesIn(t *testing.T, folders []string) map[int]int {
	t.Helper()
	inside := map[int]bool{}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil {
			continue // gone meanwhile
		}
		for _, folder := range folders {
			if strings.HasPrefix(cwd, folder) {
				pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
				inside[pid] = true
			}
		}
	}
	found := map[int]int{}
	for pid := range inside {
		ancestor := parentOf(pid)
		for inside[ancestor] {
			ancestor = parentOf(ancestor)
		}
		if ancestor != 0 { // 0: gone meanwhile
			found[pid] = ancestor
		}
	}
	return found
}

func parentOf(pid int) int {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if fields[0] == "Z" {
		return 0 // ended, and not yet waited for
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

func writeTable(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	connection, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(ctx) //nolint:errcheck // a test
	if _, err := connection.Exec(ctx, `CREATE TABLE kept AS SELECT 42 AS answer`); err != nil {
		t.Fatal(err)
	}
}

func readTable(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	connection, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(ctx) //nolint:errcheck // a test
	var answer int
	if err := connection.QueryRow(ctx, `SELECT answer FROM kept`).Scan(&answer); err != nil || answer != 42 {
		t.Errorf("answer = %d, %v", answer, err)
	}
}

const queue = "kept"

func channel(t *testing.T, address string) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

func writeMessage(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	channel := channel(t, address)
	if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		t.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("kept")})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := confirmation.WaitContext(ctx); !ok || err != nil {
		t.Fatalf("the message was not confirmed: %v", err)
	}
}

// readMessage takes the message. A quorum queue may need a moment after a
// start to elect its leader; consuming waits for that.
func readMessage(ctx context.Context, t *testing.T, address string) string {
	t.Helper()
	deliveries, err := channel(t, address).ConsumeWithContext(ctx, queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case delivery := <-deliveries:
		return string(delivery.Body)
	case <-ctx.Done():
		return ""
	}
}

// object puts or gets the one object that the tests know.
func object(ctx context.Context, t *testing.T, address, method string) string {
	t.Helper()
	store, err := parseS3(secret.New(address))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, method, store.Endpoint+"/kept", strings.NewReader("kept"))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	request.Header.Set("Authorization", store.SecretKey.Reveal())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", method, response.Status, err)
	}
	return string(content)
}

func queueExists(_ context.Context, t *testing.T, address string) bool {
	t.Helper()
	_, err := channel(t, address).QueueDeclarePassive(queue, true, false, false, false, nil)
	return err == nil
}

// A number in the lock file that a stranger has by now is nobody to be stopped:
// only who holds the lock is alive.
func TestHolderIsGoneWhenAStrangerHasItsNumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for pid, wantGone := range map[int]bool{stranger.Process.Pid: true, os.Getpid(): false} {
		if err := writePID(lock, pid); err != nil {
			t.Fatal(err)
		}
		got, gone, err := Holder(dir)
		if got != pid || gone != wantGone || err != nil {
			t.Errorf("process %d: got %d, gone %v, %v; want gone %v", pid, got, gone, err, wantGone)
		}
	}
}
