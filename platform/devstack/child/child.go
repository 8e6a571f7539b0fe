// Package child runs programs that must not outlive this process.
//
// On Linux the kernel signals a child when the thread that started it is gone,
// which holds for kill -9 of this process too. Therefore each child has a
// goroutine of its own, locked to an OS thread until the child has ended. On
// other systems only an orderly end of this process ends its children.
package child

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Child is a running program, or one that has ended.
type Child struct {
	pid  int
	done chan struct{}
	err  error
}

// Start starts a command in a process group of its own, out of the reach of a
// Ctrl-C in our terminal. death is what it is sent when this process is gone.
// It belongs to the caller, who ends it with Stop.
func Start(command *exec.Cmd, death syscall.Signal) (*Child, error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	signalAtOurDeath(command.SysProcAttr, death)

	child := &Child{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(child.done)
		// The lock is never let go: the thread ends with this goroutine.
		runtime.LockOSThread()
		err := command.Start()
		if err == nil {
			child.pid = command.Process.Pid
		}
		started <- err
		if err == nil {
			child.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return child, nil
}

// PID is its process id.
func (c *Child) PID() int { return c.pid }

// Done is closed when it has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err waits for the end and says how it was, as exec.Cmd.Wait does.
func (c *Child) Err() error {
	<-c.done
	return c.err
}

// Signal sends a signal to the program alone; one that has ended is no fault.
func (c *Child) Signal(signal syscall.Signal) error { return c.kill(c.pid, signal) }

// SignalGroup sends a signal to the program and those it has started.
func (c *Child) SignalGroup(signal syscall.Signal) error { return c.kill(-c.pid, signal) }

func (c *Child) kill(pid int, signal syscall.Signal) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", signal, pid, err)
	}
	return nil
}

// Stop sends a signal and waits for the end; past the bound it kills. What the
// program has left in its group is killed too.
func (c *Child) Stop(signal syscall.Signal, bound time.Duration) error {
	// The group keeps its number while it has members; without any this is void.
	defer func() { _ = syscall.Kill(-c.pid, syscall.SIGKILL) }()
	err := c.Signal(signal)
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-c.done:
		return err
	case <-timer.C:
	}
	err = errors.Join(err, c.SignalGroup(syscall.SIGKILL))
	<-c.done
	return errors.Join(err, fmt.Errorf("process %d did not end within %v of %v: killed", c.pid, bound, signal))
}
