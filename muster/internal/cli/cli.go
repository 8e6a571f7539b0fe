// Package cli is the command line of muster: one file per command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands is the table of contents.
type commands struct {
	Up         up          `cmd:"" help:"Start Muster on a private PostgreSQL, RabbitMQ and S3, until Ctrl-C."`
	Down       down        `cmd:"" help:"Stop what \"up\" runs in a data directory."`
	Projection projections `cmd:"" help:"Rebuild, verify and look at the rows that are made from events, while everything runs."`
	Parked     parked      `cmd:"" help:"Look at events that could not be applied, and retry or skip them."`
	Events     events      `cmd:"" help:"See what happened: list events, follow them, one stream's, or a person's and how the account stood at a time."`
	Log        logs        `cmd:"" help:"What has happened to the event logs: restores, fail-overs; and how to tell Muster of one."`
	Serve      serveOne    `cmd:"" passthrough:"" help:"Run one service. \"serve SERVICE --help\" lists its settings."`
	Stack      stack       `cmd:"" help:"The private servers alone."`
	S3         s3          `cmd:"" name:"s3" help:"An S3 server on a directory, for development: what \"up\" and \"stack\" run as a child."`
	Health     health      `cmd:"" help:"Ask one service whether it can work: what a container is checked with."`
	Init       initialize  `cmd:"" help:"Make the secrets, certificates and settings of a deployment in containers."`
	Provision  provision   `cmd:"" help:"Make the databases and roles of a deployment in containers."`
	Version    version     `cmd:"" help:"Show the version."`
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// exitError ends muster with the status of a command that it ran.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Main runs a command line and gives the exit status: 0; 1 for a failure; 2
// for a command line that is wrong, which a command's Validate tells before
// anything is done; that of the command for `stack run`.
func Main(arguments []string, out, errOut io.Writer) int {
	parser, err := kong.New(&commands{}, kong.Name("muster"),
		kong.Description("Muster, a self-hosted user-authorization platform."),
		kong.Writers(out, errOut), kong.Bind(streams{out, errOut}))
	if err != nil {
		_, _ = fmt.Fprintln(errOut, "muster:", err)
		return 1
	}
	parsed, err := parser.Parse(arguments)
	if err != nil {
		parser.Stdout = errOut // a program that reads the other one has asked for no help
		if !helpOfGroup(err) {
			_, _ = fmt.Fprintln(errOut, "muster:", err)
		}
		return statusWrong
	}
	err = parsed.Run()
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	default:
		_, _ = fmt.Fprintln(errOut, "muster:", err)
		return 1
	}
}

// statusWrong is for a command line that is wrong.
const statusWrong = 2

// helpOfGroup shows which commands there are where a group of them stands alone,
// and tells whether it did.
func helpOfGroup(err error) bool {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil || wrong.Context.Error != nil {
		return false
	}
	if group := wrong.Context.Selected(); group != nil && group.Leaf() {
		return false
	}
	return wrong.Context.PrintUsage(false) == nil
}

// untilSignal gives a context that ends with the first Ctrl-C, SIGTERM or
// closing of the terminal. A second signal ends the process at once, its
// servers with it.
func untilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	context.AfterFunc(ctx, stop)
	return ctx
}

func endSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}
