// Command identity serves who people are. Its settings are in the environment, or in the file that
// --config names; --help lists them.
package main

import (
	"os"

	"github.com/muster-id/muster/identity"
	"github.com/muster-id/muster/platform/process"
)

func main() {
	os.Exit(process.New("identity", identity.New).Main(os.Args[1:]))
}
