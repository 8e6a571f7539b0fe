// Command gateway serves Muster's public API. Its settings are in the environment, or in the file that
// --config names; --help lists them.
package main

import (
	"os"

	"github.com/muster-id/muster/gateway"
	"github.com/muster-id/muster/platform/process"
)

func main() {
	os.Exit(process.New("gateway", gateway.New).Main(os.Args[1:]))
}
