package objectserver

import (
	"os"
	"runtime"

	"github.com/muster-id/muster/platform/devstack"
)

// Command is this program as `muster s3`, for devstack to run.
func Command() devstack.ObjectServer {
	// Not by its path, which may lead through a directory that the server's user
	// cannot enter, and be another build's by the time of a second start.
	program := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		program, _ = os.Executable() // "" fails at the start, with its name
	}
	return devstack.ObjectServer{
		Command: []string{program, "s3"},
		// A test binary that starts a system would run its tests again, and they a
		// system, and so on.
		Environ: []string{"MUSTER_TEST_MAIN=1"},
	}
}
