package system

import (
	"context"
	"strings"

	"github.com/muster-id/muster/muster/internal/objectserver"
	"github.com/muster-id/muster/platform/devstack"
)

func startServers(ctx context.Context, dir string, options Options) (*devstack.Stack, error) {
	return devstack.Start(ctx, devstack.Config{
		Dir:          dir,
		Broker:       options.Broker,
		ObjectServer: objectserver.Command(),
		Throwaway:    options.Throwaway,
		Progress:     options.Progress,
		Getenv:       lookup(options.Environ),
	})
}

// lookup reads a variable from an environment as os.Environ gives it.
func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, pair := range environ {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
