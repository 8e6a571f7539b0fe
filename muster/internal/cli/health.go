package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
)

// healthTimeout bounds the question, so that a health check of a container never hangs.
const healthTimeout = 3 * time.Second

type health struct {
	Service      string `arg:"" help:"identity, credentials, media or gateway."`
	Address      string `help:"Where it listens, host:port." required:"" placeholder:"ADDRESS"`
	Certificates string `help:"Folder with its certificate; the gateway needs none." placeholder:"DIR"`
}

// errNotReady is what a health check waits for to end.
var errNotReady = errors.New("not ready")

// Run asks a service whether it can work: exit status 0 if so, else 1. It is
// what a container is checked with, which has no shell and no curl.
func (c *health) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	ask := c.askService
	if c.Service == "gateway" {
		ask = c.askGateway
	}
	if err := ask(ctx); err != nil {
		return fmt.Errorf("health of %s: %w", c.Service, err)
	}
	return nil
}

func (c *health) askGateway(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // nothing of it is read
	if response.StatusCode != http.StatusOK {
		return errNotReady
	}
	return nil
}

// askService calls gRPC health over mTLS, with the service's own certificate.
func (c *health) askService(ctx context.Context) error {
	self, err := certificate.Load(c.Certificates, c.Service)
	if err != nil {
		return err
	}
	url := "https://" + c.Address
	client := serve.InternalClient(self, c.Service, url)
	defer client.CloseIdleConnections()
	answer, err := grpchealth.NewClient(client, url, serve.ClientInterceptors()).Check(ctx, &grpchealth.CheckRequest{})
	if err != nil {
		return err
	}
	if answer.Status != grpchealth.StatusServing {
		return errNotReady
	}
	return nil
}
