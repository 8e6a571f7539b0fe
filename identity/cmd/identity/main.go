// Command identity serves who people are. Its settings are in the environment,
// or in the file that -config names; -help lists them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/muster-id/muster/identity"
	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var settings identity.Config
	file := flag.String("config", "", "file of KEY=VALUE lines; the environment goes before it")
	flag.Usage = func() { _ = config.Help(flag.CommandLine.Output(), "identity", &settings) }
	flag.Parse()
	if err := config.Load("identity", &settings, *file, os.Environ()); err != nil {
		return err
	}
	service, err := identity.New(ctx, settings, telemetry.NewLogger(os.Stderr, slog.LevelInfo, telemetry.JSON))
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
