// Command media serves avatars and files. Its settings are in the environment, or in the file that
// --config names; --help lists them.
package main

import (
	"os"

	"github.com/muster-id/muster/media"
	"github.com/muster-id/muster/platform/process"
)

func main() {
	os.Exit(process.New("media", media.New).Main(os.Args[1:]))
}
