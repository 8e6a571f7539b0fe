package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/telemetry"
)

const (
	dialTimeout = 2 * time.Second
	// callTimeout bounds a call whose context has no deadline.
	callTimeout = 5 * time.Second
	maxIdle     = 4
)

// InternalClient speaks HTTP/2 over mTLS to another service. It refuses a
// server that is not that service, and a URL of any other host than baseURL's:
// what it sends carries people's tokens. It follows no redirects.
func InternalClient(identity certificate.Identity, service, baseURL string) *http.Client {
	host := "" // which no request has: a URL that is none reaches nobody
	if base, err := url.Parse(baseURL); err == nil {
		host = base.Host
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &pinned{
			host: host,
			Transport: &http.Transport{
				DialContext:         dialer.DialContext,
				TLSClientConfig:     identity.ClientTLS(service),
				TLSHandshakeTimeout: dialTimeout,
				Protocols:           protocols,
				MaxIdleConns:        maxIdle,
				MaxIdleConnsPerHost: maxIdle,
				IdleConnTimeout:     idleTimeout,
				DisableCompression:  true, // Connect has its own
				HTTP2: &http.HTTP2Config{
					SendPingTimeout:  pingTimeout,
					PingTimeout:      pingTimeout,
					WriteByteTimeout: sendTimeout,
				},
			},
		},
	}
}

// pinned sends requests to one host only.
type pinned struct {
	*http.Transport
	host string
}

func (p *pinned) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" || request.URL.Host != p.host {
		return nil, fmt.Errorf("serve: an internal client of %q is not for %s", p.host, request.URL.Redacted())
	}
	return p.Transport.RoundTrip(request)
}

// ClientInterceptors is what every client of an internal service is made with:
// gRPC, a time-out of 5 s where the context has none, a span where the call is
// traced, and the call's request id, trace, client address, user agent and access
// token. Never give it to a client of somebody else's service. Answers are not
// packed: a page of events is ciphertext for the most part, and costs three times
// as much to pack as all else.
func ClientInterceptors() connect.ClientOption {
	return connect.WithClientOptions(connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil), connect.WithInterceptors(passOn{}))
}

type passOn struct{}

var _ connect.Interceptor = passOn{}

// WrapUnary passes on what is known of the call.
func (passOn) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if _, given := ctx.Deadline(); !given {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, callTimeout)
			defer cancel()
		}
		ctx, span := telemetry.StartCall(ctx, strings.TrimPrefix(request.Spec().Procedure, "/"))
		defer span.End()
		outgoing(ctx, request.Header())
		response, err := next(ctx, request)
		if err != nil {
			span.SetAttributes(attribute.String("rpc.response.status_code", connect.CodeOf(err).String()))
			span.SetStatus(codes.Error, connect.CodeOf(err).String())
		}
		return response, err
	}
}

// WrapStreamingClient passes on the same; a stream has no time-out of its own.
func (passOn) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		outgoing(ctx, conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler leaves handlers alone.
func (passOn) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func outgoing(ctx context.Context, header http.Header) {
	telemetry.Outgoing(ctx, header)
	if principal, ok := access.PrincipalFrom(ctx); ok && !principal.Token.Empty() {
		header.Set("Authorization", "Bearer "+principal.Token.Reveal())
	}
}
