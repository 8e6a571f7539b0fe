package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/muster-id/muster/muster/internal/objectserver"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/devstack/child"
)

type stack struct {
	Run stackRun `cmd:"" help:"Run a command, such as a test suite, on private servers that are empty at its start and gone at its end."`
}

type stackRun struct {
	Data       string   `help:"Data directory, for logs and ports; ${default} if not given." default:".muster-test" placeholder:"DIR"`
	Management bool     `help:"Switch RabbitMQ's management API on." default:"true" negatable:""`
	RaceTools  bool     `help:"Install what \"go test -race\" lacks."`
	Quiet      bool     `help:"Say nothing but errors."`
	Command    []string `arg:"" passthrough:"" help:"The command; its environment has MUSTER_TEST_POSTGRES_URL, MUSTER_TEST_AMQP_URL, MUSTER_TEST_RABBITMQ_API and MUSTER_TEST_S3_URL."`
}

// The environment of the command, as platform/teststack reads it.
const (
	postgresEnv  = "MUSTER_TEST_POSTGRES_URL"
	brokerEnv    = "MUSTER_TEST_AMQP_URL"
	brokerAPIEnv = "MUSTER_TEST_RABBITMQ_API"
	s3Env        = "MUSTER_TEST_S3_URL"
)

// commandBound is how long a command may take to end after a signal.
const commandBound = 30 * time.Second

// Run gives the command's own exit status.
func (c *stackRun) Run(streams streams) (err error) {
	var progress io.Writer = streams.err // stdout is the command's
	if c.Quiet {
		progress = nil
	}
	ctx := untilSignal()
	servers, err := devstack.Start(ctx, devstack.Config{
		Dir: c.Data, Broker: true, Management: c.Management, ObjectServer: objectserver.Command(), Throwaway: true, RaceTools: c.RaceTools, Progress: progress,
	})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := servers.Stop(); err == nil {
			err = stopErr
		}
	}()
	if err := errors.Join(servers.AwaitBroker(ctx), servers.AwaitS3(ctx)); err != nil {
		return err
	}
	return c.runCommand(ctx, servers)
}

func (c *stackRun) runCommand(ctx context.Context, servers *devstack.Stack) error {
	// passthrough leaves the separator in.
	argv := c.Command
	if argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		return errors.New("stack run: no command given")
	}
	command := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // the user's own; ended below
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(),
		postgresEnv+"="+servers.AdminURL.Reveal(),
		brokerEnv+"="+servers.AMQPURL.Reveal(),
		brokerAPIEnv+"="+servers.ManagementURL.Reveal(),
		s3Env+"="+servers.S3.URL().Reveal())
	// With a process group of its own it would not be let near the terminal
	// unless the terminal is handed over.
	terminal := int(os.Stdin.Fd())
	interactive := term.IsTerminal(terminal)
	if interactive {
		command.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: terminal}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, endSignals()...)
	defer signal.Stop(signals)

	process, err := child.Start(command, syscall.SIGTERM)
	if err != nil {
		return err
	}
	failure := wait(ctx, process, signals, servers.Failed())
	if interactive {
		takeBack(terminal)
	}
	if failure != nil {
		return failure
	}
	return status(process.Err())
}

// wait waits for the command's end, hands a signal on to its group, and ends it
// when a server has failed. A second signal kills it.
func wait(ctx context.Context, process *child.Child, signals <-chan os.Signal, failed <-chan error) error {
	end := func(signal os.Signal) error {
		if err := process.SignalGroup(signal.(syscall.Signal)); err != nil {
			return err
		}
		bound := time.NewTimer(commandBound)
		defer bound.Stop()
		select {
		case <-process.Done():
			return nil
		case <-signals:
		case <-bound.C:
		}
		return process.SignalGroup(syscall.SIGKILL)
	}
	select {
	case <-process.Done():
		return nil
	case received := <-signals:
		return end(received)
	case <-ctx.Done(): // a signal that came before the command
		return end(syscall.SIGTERM)
	case err := <-failed:
		return errors.Join(err, end(syscall.SIGTERM))
	}
}

// takeBack makes our process group the terminal's again, so that Ctrl-C
// reaches us. Doing so from the background raises SIGTTOU.
func takeBack(terminal int) {
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(terminal, unix.TIOCSPGRP, unix.Getpgrp())
}

// status is the exit status as a shell gives it.
func status(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return exitError(128 + int(state.Signal()))
	}
	return exitError(exit.ExitCode())
}
