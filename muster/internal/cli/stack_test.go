package cli

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// The exit status of a command is that of `stack run`, as a shell gives it.
func TestStatusIsTheCommandsOwn(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143} {
		var got exitError
		err := status(exec.CommandContext(t.Context(), "sh", "-c", script).Run())
		if err != nil && !errors.As(err, &got) || int(got) != want {
			t.Errorf("%s: %v, want %d", script, err, want)
		}
	}
}

func TestDownWhereNothingRuns(t *testing.T) {
	t.Parallel()
	var out, errOut strings.Builder
	if code := Main([]string{"down", "--data", t.TempDir()}, &out, &errOut); code != 0 || !strings.Contains(out.String(), "nothing runs in") {
		t.Errorf("exit status %d, said %q %q", code, out.String(), errOut.String())
	}
}

func TestWrongCommandLine(t *testing.T) {
	t.Parallel()
	var out, errOut strings.Builder
	if code := Main([]string{"upp"}, &out, &errOut); code != 2 || errOut.Len() == 0 {
		t.Errorf("exit status %d, said %q", code, errOut.String())
	}
}
