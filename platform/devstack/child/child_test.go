package child_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/devstack/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a shell script and waits for its first line.
func start(t *testing.T, script string) *child.Child {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // a test
	command := exec.Command("sh", "-c", script)
	command.Stdout = writer
	started, err := child.Start(command, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	if _, err := bufio.NewReader(reader).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return started
}

func TestStopInOrder(t *testing.T) {
	t.Parallel()
	c := start(t, "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
	if err := c.Stop(syscall.SIGTERM, time.Minute); err != nil {
		t.Error(err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
}

func TestStopKillsPastTheBound(t *testing.T) {
	t.Parallel()
	c := start(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	err := c.Stop(syscall.SIGTERM, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Stop = %v, want that it was killed", err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("it still runs")
	}
}

func TestStartOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := child.Start(exec.Command("/nonexistent"), syscall.SIGKILL); err == nil {
		t.Error("no error")
	}
}
