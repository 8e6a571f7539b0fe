package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-id/muster/muster/internal/system"
)

type serveOne struct {
	Arguments []string `arg:"" name:"service" help:"identity, credentials, media or gateway, and its own arguments."`
}

// Run runs one service as this process, as its own command does.
func (c *serveOne) Run() error {
	name, arguments := c.Arguments[0], c.Arguments[1:]
	services := system.Services()
	if name == "--help" || name == "-h" {
		name = "" // the error lists them
	}
	program, known := services[name]
	if !known {
		return fmt.Errorf("serve: %q is no service; it takes one of %s", name, strings.Join(slices.Sorted(maps.Keys(services)), ", "))
	}
	if status := program.Main(arguments); status != 0 {
		return exitError(status)
	}
	return nil
}
