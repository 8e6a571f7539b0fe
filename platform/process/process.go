// Package process is what the main of every service does: settings in, a logger,
// signals, and an exit status. A service gives its name and its constructor.
// Serve is what its Run does: a server, the parts behind it, and the order in
// which they end.
package process

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/telemetry"
)

// Service is wired and ready to run.
type Service interface {
	// Run serves until ctx ends, and then shuts down in order.
	Run(ctx context.Context) error
	// Addr is where it listens.
	Addr() string
}

// Program makes a service from its settings.
type Program struct {
	name string
	// load reads the settings and gives what starts the service.
	load func(file string, environ []string) (logging, starter, error)
	help func(io.Writer) error
}

type starter func(context.Context, *slog.Logger) (Service, error)

// logging are the settings that every service has.
type logging struct {
	Level  slog.Level       `env:"LOG_LEVEL" envDefault:"INFO" desc:"Least level that is logged: DEBUG, INFO, WARN or ERROR"`
	Format telemetry.Format `env:"LOG_FORMAT" envDefault:"json" desc:"Form of the log lines: json or text"`
}

// New couples a service's name, which its settings bear, with its constructor.
// C is the struct of its settings; see package config.
func New[C any, S Service](name string, build func(context.Context, C, *slog.Logger) (S, error)) Program {
	type settings struct {
		Service C
		Logging logging
	}
	return Program{
		name: name,
		load: func(file string, environ []string) (logging, starter, error) {
			var read settings
			if err := config.Load(name, &read, file, environ); err != nil {
				return logging{}, nil, err
			}
			return read.Logging, func(ctx context.Context, logger *slog.Logger) (Service, error) {
				return build(ctx, read.Service, logger)
			}, nil
		},
		help: func(w io.Writer) error { return config.Help(w, name, new(settings)) },
	}
}

// Check reads the settings as Start does, names their faults, and starts nothing.
func (p Program) Check(file string, environ []string) error {
	_, _, err := p.load(file, environ)
	return err
}

// Start makes the service with settings from a file ("" for none) and an
// environment as os.Environ gives it, logging to log.
func (p Program) Start(ctx context.Context, file string, environ []string, log io.Writer) (Service, error) {
	how, start, err := p.load(file, environ)
	if err != nil {
		return nil, err
	}
	// Every line names the service, those of the background too.
	service, err := start(ctx, telemetry.NewLogger(log, how.Level, how.Format).With("service", p.name))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return service, nil
}

// Main runs the service as this process, until SIGINT or SIGTERM (a second one
// does not wait for the shutdown), and gives the exit status: 0; 1 for a failure; 2 for arguments that are wrong. Its log goes
// to standard error.
func (p Program) Main(arguments []string) int {
	flags := flag.NewFlagSet(p.name, flag.ContinueOnError)
	file := flags.String("config", "", "file of KEY=VALUE lines; the environment goes before it")
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "usage: %s [--config FILE]\n\n", p.name)
		_ = p.help(flags.Output()) // the flags' output is all there is to tell it to
	}
	switch err := flags.Parse(arguments); {
	case err == flag.ErrHelp: //nolint:errorlint // Parse gives it bare
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		_, _ = fmt.Fprintf(os.Stderr, "%s: %q is one argument too many\n", p.name, flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	service, err := p.Start(ctx, *file, os.Environ(), os.Stderr)
	if err == nil {
		err = service.Run(ctx)
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
		return 1
	}
	return 0
}
