package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/muster-id/muster/platform/devstack/child"
)

const (
	// readyBound is how long a server may take to answer.
	readyBound = 60 * time.Second
	// quietBound is how long we wait without saying so.
	quietBound = 3 * time.Second
	probeBound = 2 * time.Second
	probePause = 50 * time.Millisecond
	// logTail is how much of a log goes into an error.
	logTail = 2000
)

// process is a program of ours that runs a server, or part of one.
type process struct {
	name     string
	child    *child.Child
	log      string
	signal   syscall.Signal // ends it in order
	bound    time.Duration  // for that
	stopping atomic.Bool
	// remove ends and removes the container that it runs, which may outlive it;
	// nil for a program. Without a grace the server is killed.
	remove func(ctx context.Context, grace time.Duration) error
}

// command is how to start a process.
type command struct {
	name    string // for people
	log     string // file in log/
	argv    []string
	env     []string // all of it: ours could hold settings for the servers
	dir     string
	account *syscall.Credential
	death   syscall.Signal // what it is sent when we are gone
	signal  syscall.Signal
	bound   time.Duration
}

func (d *directory) launch(c command) (*process, error) {
	log, err := d.log(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()                             //nolint:errcheck // the child has its own
	cmd := exec.Command(c.argv[0], c.argv[1:]...) //nolint:gosec,noctx // found by us; ended by Stop
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{d.lock} // see acquire
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.account}
	started, err := child.Start(cmd, c.death)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return &process{name: c.name, child: started, log: log.Name(), signal: c.signal, bound: c.bound}, nil
}

// finish waits for a process that ends by itself.
func (p *process) finish(ctx context.Context) error {
	select {
	case <-p.child.Done():
	case <-ctx.Done():
		_ = p.stop()
		return fmt.Errorf("%s: %w", p.name, ctx.Err())
	}
	if err := p.child.Err(); err != nil {
		return p.ended()
	}
	return nil
}

// await waits until a probe succeeds.
func (p *process) await(ctx context.Context, say *progress, probe func(context.Context) error) error {
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	told := quietBound
	for {
		probeCtx, cancel := context.WithTimeout(bounded, probeBound)
		err := probe(probeCtx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.child.Done():
			return p.ended()
		default:
		}
		if pause(bounded, probePause) != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("wait for %s: %w", p.name, ctx.Err())
			}
			return fmt.Errorf("%s does not answer after %s: %w\n%s", p.name, seconds(time.Since(start)), err, tail(p.log))
		}
		if waited := time.Since(start); waited > told {
			say.say("waiting for %s (%s)", p.name, seconds(waited))
			told += quietBound
		}
	}
}

func (p *process) ended() error {
	return fmt.Errorf("%s ended by itself: %v\n%s", p.name, p.child.Err(), tail(p.log)) //nolint:errorlint // nil for an orderly end
}

func (p *process) stop() error {
	p.stopping.Store(true)
	remove := p.remove
	if remove == nil {
		remove = func(context.Context, time.Duration) error { return nil }
	}
	grace := p.bound
	if p.signal == syscall.SIGKILL || p.signal == syscall.SIGQUIT {
		grace = 0
	}
	ctx := context.Background() // it has bounds of its own
	err := errors.Join(
		remove(ctx, grace),
		p.child.Stop(p.signal, p.bound),
		remove(ctx, 0), // one that it was about to start
	)
	if err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// tail gives the end of a log, with its path.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "log: " + path
	}
	text = bytes.TrimSpace(text)
	if len(text) > logTail {
		text = text[len(text)-logTail:]
	}
	return "the end of " + path + ":\n  " + strings.ReplaceAll(string(text), "\n", "\n  ")
}
