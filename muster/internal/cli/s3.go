package cli

import (
	"fmt"
	"os"

	"github.com/muster-id/muster/muster/internal/objectserver"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/secret"
)

type s3 struct {
	Data   string `help:"Data directory." required:"" placeholder:"DIR"`
	Listen string `help:"host:port; ${default} if not given." default:"127.0.0.1:9000" placeholder:"ADDRESS"`
}

// Run serves S3 from a directory, until a signal. The keys come from the
// environment, since everybody can read arguments in the list of processes.
func (c *s3) Run() error {
	config := objectserver.Config{
		Dir: c.Data, Listen: c.Listen,
		AccessKey: os.Getenv(devstack.AccessKeyEnv), SecretKey: secret.New(os.Getenv(devstack.SecretKeyEnv)),
	}
	if config.AccessKey == "" || config.SecretKey.Empty() {
		return fmt.Errorf("s3: set %s and %s", devstack.AccessKeyEnv, devstack.SecretKeyEnv)
	}
	return objectserver.Run(untilSignal(), config)
}
