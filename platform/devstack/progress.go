package devstack

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress writes one line for each step; both servers report through it.
type progress struct {
	mutex sync.Mutex
	out   io.Writer
}

func newProgress(out io.Writer) *progress {
	if out == nil {
		out = io.Discard
	}
	return &progress{out: out}
}

func (p *progress) say(format string, arguments ...any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	// A terminal that is gone must not stop the servers.
	_, _ = fmt.Fprintf(p.out, format+"\n", arguments...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
