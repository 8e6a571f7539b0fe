package gateway

import (
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
)

// upstream is a service behind the gateway.
type upstream struct {
	*http.Client
	url string
}

func newUpstream(self certificate.Identity, name, url string) upstream {
	return upstream{Client: serve.InternalClient(self, name, url), url: url}
}

// clientOf makes a client of one of an upstream's Connect services.
func clientOf[Client any](u upstream, generated func(connect.HTTPClient, string, ...connect.ClientOption) Client) Client {
	return generated(u.Client, u.url, serve.ClientInterceptors())
}

// health asks whether it can work.
func (u upstream) health() grpchealth.Checker {
	return grpchealth.NewClient(u.Client, u.url, serve.ClientInterceptors())
}

// status asks how its dependencies are.
func (u upstream) status() statusv1connect.StatusServiceClient {
	return clientOf(u, statusv1connect.NewStatusServiceClient)
}
