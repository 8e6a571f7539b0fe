package devstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// kept is a server that a running system can do without for a while: it starts
// beside all else, is started again when it ends by itself, and tests stop and
// start it. The mutex keeps that in order.
type kept struct {
	name   string // of its data
	title  string // for people
	port   string // name of its port
	env    string // where its address may stand
	source source
	// launch starts its program, ping asks whether it answers.
	launch func(context.Context) (*process, error)
	ping   func(context.Context) error

	stack   *Stack
	mutex   sync.Mutex
	process *process // nil while stopped
	// The first start goes on after Start has returned.
	started chan struct{}
	err     error
}

// ErrNotOurs says that a server is run by somebody else.
var ErrNotOurs = errors.New("not run by this stack")

func (k *kept) wanted() bool { return k.source.kind != "" }

func (k *kept) ours() bool { return k.source.kind == byProgram || k.source.kind == byDocker }

// startFirst starts it beside all else. It ends with the start, or with the
// stack.
func (k *kept) startFirst() {
	if !k.wanted() {
		close(k.started)
		return
	}
	k.mutex.Lock() // a stop waits until it is up
	k.stack.watchers.Go(func() {
		defer k.mutex.Unlock()
		defer close(k.started)
		err := k.start(k.stack.life)
		if err != nil && k.ours() {
			k.stack.fail(err)
		} else if err != nil {
			err = fmt.Errorf("%s is %w: %w", k.title, ErrNotOurs, err)
		}
		k.err = err
	})
}

// await waits until it has answered for the first time, or never will.
func (k *kept) await(ctx context.Context) error {
	select {
	case <-k.started:
		return k.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", k.title, ctx.Err())
	}
}

// start runs it until it answers. The caller has the mutex.
func (k *kept) start(ctx context.Context) error {
	if !k.ours() {
		return reach(ctx, k.title, k.env, k.ping)
	}
	start := time.Now()
	server, err := k.launch(ctx)
	if err != nil {
		return err
	}
	k.process = server
	err = server.await(ctx, k.stack.progress, k.ping)
	if err == nil {
		err = k.stack.directory.markWhole(k.name)
	}
	if err != nil {
		return errors.Join(err, k.stop())
	}
	k.keep(server)
	k.stack.progress.say("%s ready on %s (%s)", k.title, local(k.stack.directory.state.Ports[k.port]), seconds(time.Since(start)))
	return nil
}

// keep starts it again when it ends by itself: a system that goes on without it
// is no reason to stop. It ends with a server that was told to end.
func (k *kept) keep(server *process) {
	k.stack.watchers.Go(func() {
		<-server.child.Done()
		if server.stopping.Load() {
			return
		}
		k.stack.progress.say("%v\nstarting it again", server.ended())
		for wait := time.Second; pause(k.stack.life, wait) == nil; wait = min(2*wait, restartBound) {
			// Who holds the mutex starts or stops it, and Stop waits for us.
			if !k.mutex.TryLock() {
				continue
			}
			if k.process != server {
				k.mutex.Unlock()
				return // somebody else has taken care of it
			}
			err := k.start(k.stack.life)
			server = k.process
			k.mutex.Unlock()
			if err == nil || k.stack.life.Err() != nil {
				return
			}
			k.stack.progress.say("%s does not come up: %v", k.title, err)
		}
	})
}

// restartBound is the longest pause between two attempts to start it again.
const restartBound = 30 * time.Second

// stop stops it; twice is no fault. The caller has the mutex.
func (k *kept) stop() error {
	if !k.ours() {
		return fmt.Errorf("%s is %w", k.title, ErrNotOurs)
	}
	if k.process == nil {
		return nil
	}
	err := k.process.stop()
	k.process = nil
	return err
}

// end stops it for good.
func (k *kept) end() error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process == nil {
		return nil
	}
	if k.stack.throwaway {
		k.process.signal = syscall.SIGKILL // nothing of it is kept
	}
	return k.stop()
}

// down stops it under a running system.
func (k *kept) down() error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.stop()
}

// up starts a stopped one on the same port and waits until it answers; twice is
// no fault.
func (k *kept) up(ctx context.Context) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if !k.ours() {
		return fmt.Errorf("%s is %w", k.title, ErrNotOurs)
	}
	if k.process != nil {
		return nil
	}
	return k.start(ctx)
}
