// Command muster runs everything in one process for development, and holds the
// operator's tools.
package main

import (
	"os"

	"github.com/muster-id/muster/muster/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
