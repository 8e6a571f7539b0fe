package cli

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/muster-id/muster/platform/devstack"
)

type down struct {
	Data string `help:"Data directory; ${default} if not given." default:".muster" placeholder:"DIR"`
}

// Bounds of waiting for the end.
const (
	downBound = time.Minute
	downPause = 50 * time.Millisecond
)

// Run asks the process that holds the data directory to end, and waits until
// it and its servers are gone. That nothing runs is no failure.
func (c *down) Run(streams streams) error {
	holder, gone, err := devstack.Holder(c.Data)
	if err != nil {
		return err
	}
	if holder == 0 {
		_, err := fmt.Fprintf(streams.out, "nothing runs in %s\n", c.Data)
		return err
	}
	if !gone { // else its servers end by themselves, and its number may be a stranger's
		if err := syscall.Kill(holder, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", holder, err)
		}
	}
	tick := time.NewTicker(downPause)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < downBound; <-tick.C {
		switch now, _, err := devstack.Holder(c.Data); {
		case err != nil:
			return err
		case now == 0:
			_, err := fmt.Fprintf(streams.out, "stopped process %d in %s\n", holder, c.Data)
			return err
		case now != holder:
			return fmt.Errorf("process %d has ended, but process %d has started in %s", holder, now, c.Data)
		}
	}
	return fmt.Errorf("process %d has not ended within %v", holder, downBound)
}
