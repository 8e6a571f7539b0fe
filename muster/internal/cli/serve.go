package cli

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/telemetry"
)

// serve is one service, as its own command of cmd/ runs it.
type serve struct {
	Arguments []string `arg:"" name:"service" help:"identity, credentials or gateway; with its settings in the environment, or in a file given by --config."`
}

// Run serves until a signal.
func (c *serve) Run(streams streams) error {
	name, arguments := c.Arguments[0], c.Arguments[1:]
	definition, ok := system.Services[name]
	if !ok {
		return fmt.Errorf("serve: %q is no service; it takes one of %s", name, strings.Join(slices.Sorted(maps.Keys(system.Services)), ", "))
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(streams.out)
	file := flags.String("config", "", "")
	flags.Usage = func() { _ = config.Help(streams.out, name, definition.Settings) }
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return fmt.Errorf("serve %s: %w", name, err)
	}
	ctx := untilSignal()
	service, err := definition.New(ctx, *file, os.Environ(), telemetry.NewLogger(streams.err, slog.LevelInfo, telemetry.JSON))
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
