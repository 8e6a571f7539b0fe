// Command credentials decides who may come in. Its settings are in the environment, or in the file that
// --config names; --help lists them.
package main

import (
	"os"

	"github.com/muster-id/muster/credentials"
	"github.com/muster-id/muster/platform/process"
)

func main() {
	os.Exit(process.New("credentials", credentials.New).Main(os.Args[1:]))
}
