package cli

import (
	"fmt"
	"runtime/debug"
)

type version struct{}

// Run shows the version that the go command has stamped in.
func (version) Run(streams streams) error {
	stamped := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		stamped = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				stamped += " " + setting.Value
			}
		}
	}
	_, err := fmt.Fprintln(streams.out, "muster", stamped)
	return err
}
