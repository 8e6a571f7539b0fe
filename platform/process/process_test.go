package process_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/process"
)

type settings struct {
	Word string `env:"WORD,required" desc:"A word"`
}

type service struct{ word string }

func (service) Run(context.Context) error { return nil }
func (service) Addr() string              { return "" }

func build(_ context.Context, s settings, logger *slog.Logger) (service, error) {
	logger.Debug("word", "is", s.Word)
	return service{s.Word}, nil
}

// Settings reach the constructor, and the common ones the logger.
func TestSettingsReachServiceAndLogger(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	made, err := process.New("sample", build).Start(t.Context(), "", []string{"MUSTER_SAMPLE_WORD=hello", "MUSTER_SAMPLE_LOG_LEVEL=DEBUG", "MUSTER_SAMPLE_LOG_FORMAT=text"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	if made.(service).word != "hello" || !strings.Contains(log.String(), "service=sample") || !strings.Contains(log.String(), "is=hello") {
		t.Errorf("made %v, logged %q", made, log.String())
	}
}

// Every fault of the settings is named at once.
func TestEveryFaultIsNamed(t *testing.T) {
	t.Parallel()
	_, err := process.New("sample", build).Start(t.Context(), "", []string{"MUSTER_SAMPLE_WROD=hello", "MUSTER_SAMPLE_LOG_LEVEL=LOUD"}, io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"MUSTER_SAMPLE_WORD", "MUSTER_SAMPLE_WROD", "MUSTER_SAMPLE_LOG_LEVEL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

// --help ends well, what is wrong does not.
func TestExitStatus(t *testing.T) {
	program := process.New("sample", build)
	stderr := os.Stderr
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = null
	t.Cleanup(func() { os.Stderr = stderr; null.Close() })
	for want, arguments := range map[int][]string{0: {"--help"}, 2: {"--nothing"}, 1: {}} {
		if got := program.Main(arguments); got != want {
			t.Errorf("%v: status %d, want %d", arguments, got, want)
		}
	}
}

// stuck does not end; it says on standard output how far it is.
type stuck struct{}

func (stuck) Addr() string { return "" }

func (stuck) Run(ctx context.Context) error {
	_, _ = io.WriteString(os.Stdout, "running\n")
	<-ctx.Done()
	_, _ = io.WriteString(os.Stdout, "stopping\n")
	_, err := io.Copy(io.Discard, os.Stdin) // which the test never closes
	return err
}

// Who sends a second signal does not want to wait for the shutdown any more.
func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	const asProcess = "MUSTER_TEST_STUCK_PROCESS"
	if os.Getenv(asProcess) != "" {
		os.Exit(process.New("stuck", func(context.Context, struct{}, *slog.Logger) (stuck, error) { return stuck{}, nil }).Main(nil))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestASecondSignalEndsTheProcessAtOnce$")
	child.Env = append(os.Environ(), asProcess+"=1")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close() //nolint:errcheck // of a test
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"running", "stopping"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		if err := child.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	again := time.NewTicker(10 * time.Millisecond) // the second may have come before it counts
	defer again.Stop()
	for {
		select {
		case <-ended:
			if status, _ := child.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v", child.ProcessState)
			}
			return
		case <-again.C:
			_ = child.Process.Signal(syscall.SIGTERM) // fails when it has ended
		}
	}
}
