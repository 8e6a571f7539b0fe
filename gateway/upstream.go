package gateway

import (
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
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

// upstreams are the services behind the gateway.
type upstreams struct{ identity, credentials, media upstream }

// clientsOf makes clients of a Connect service that all of them serve, by their names.
func clientsOf[Client any](u *upstreams, generated func(connect.HTTPClient, string, ...connect.ClientOption) Client) map[string]Client {
	return map[string]Client{
		"identity":    clientOf(u.identity, generated),
		"credentials": clientOf(u.credentials, generated),
		"media":       clientOf(u.media, generated),
	}
}

func (u *upstreams) close() {
	for _, each := range []upstream{u.identity, u.credentials, u.media} {
		each.CloseIdleConnections()
	}
}
