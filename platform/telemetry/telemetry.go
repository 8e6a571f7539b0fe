package telemetry

import "context"

// Request is what is known about the call being served.
type Request struct {
	// ID names it in logs, errors, events and the header X-Request-Id.
	ID string
	// ClientID is what the person's program calls it: logged here, and not passed on.
	ClientID string
	// ClientAddress is the person's IP address, as far as it can be known.
	ClientAddress string
	// UserAgent is the person's program: printable, at most 256 bytes.
	UserAgent string
}

type (
	requestKey struct{}
	userKey    struct{}
	serviceKey struct{}
)

// WithRequest puts the call into the context.
func WithRequest(ctx context.Context, request Request) context.Context {
	return context.WithValue(ctx, requestKey{}, request)
}

// RequestFrom reads it; the zero Request if there is none.
func RequestFrom(ctx context.Context) Request {
	request, _ := ctx.Value(requestKey{}).(Request)
	return request
}

// WithUser names the signed-in person in the log lines of a context.
func WithUser(ctx context.Context, userID string) context.Context {
	return context.WithValue(ctx, userKey{}, userID)
}

// WithService names the service in the log lines of a context.
func WithService(ctx context.Context, service string) context.Context {
	return context.WithValue(ctx, serviceKey{}, service)
}
