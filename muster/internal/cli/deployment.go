package cli

import (
	"github.com/muster-id/muster/muster/internal/system"
)

// deployment says where the parts are; its defaults are those of compose.yaml.
type deployment struct {
	Dir      string `help:"Folder of the deployment's secrets." required:"" placeholder:"DIR"`
	Postgres string `help:"Host of PostgreSQL." default:"postgres"`
	RabbitMQ string `help:"Host of RabbitMQ." name:"rabbitmq" default:"rabbitmq"`
	MinIO    string `help:"Host of MinIO." name:"minio" default:"minio"`
	URL      string `help:"Public URL of the API." default:"http://127.0.0.1:8080"`
	FilesURL string `help:"Public URL of the storage." default:"http://127.0.0.1:9000"`
}

func (d deployment) of() system.Deployment {
	return system.Deployment{Dir: d.Dir, Postgres: d.Postgres, RabbitMQ: d.RabbitMQ, MinIO: d.MinIO, URL: d.URL, FilesURL: d.FilesURL}
}

type initialize struct{ deployment }

// Run makes what is missing.
func (c *initialize) Run() error { return c.of().Init() }

type provision struct{ deployment }

// Run makes the databases that are missing.
func (c *provision) Run() error { return c.of().Provision(untilSignal()) }
