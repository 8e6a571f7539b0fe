package telemetry

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// RequestIDHeader carries the request's id, in and out.
const RequestIDHeader = "X-Request-Id"

// Headers between services; from anybody else they are not believed.
const (
	clientAddressHeader = "Muster-Client-Address"
	userAgentHeader     = "Muster-Client-User-Agent"
	traceParentHeader   = "traceparent" // in lower case, as the W3C writes it
)

const (
	maxUserAgent = 256
	tracerName   = "github.com/muster-id/muster/platform/telemetry"
)

// plausibleID keeps a caller's own id harmless in a log line.
var plausibleID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// MiddlewareConfig configures Middleware.
type MiddlewareConfig struct {
	// Service is the name of the one that serves.
	Service string
	// Tracers makes the spans.
	Tracers trace.TracerProvider
	// TrustedProxies may name the client's address in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// Internal tells whether a request comes from another service of ours.
	Internal func(*http.Request) bool
	// Untraced are paths whose requests are not worth a trace: those that are
	// asked every few seconds whether the service lives.
	Untraced []string
}

// Middleware puts the Request, the service and a server span into the context
// and answers with the request's id. A service's id and trace go on; a
// stranger's trace is linked to, and its id is kept beside ours if it is a UUID
// or 8 to 64 letters, digits, `_` and `-`. What a service asks by itself, without
// a trace, begins none: it looks at a log's head again and again.
func Middleware(config MiddlewareConfig, next http.Handler) http.Handler {
	tracer := config.Tracers.Tracer(tracerName)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		internal := config.Internal(r)
		request := Request{
			ID:            newID(),
			ClientAddress: clientAddress(r, config.TrustedProxies),
			UserAgent:     printable(r.UserAgent()),
		}
		given := r.Header.Get(RequestIDHeader)
		plausible := plausibleID.MatchString(given)
		switch {
		case plausible && internal:
			request.ID = given
		case plausible:
			request.ClientID = given
		}
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
		ctx := WithService(r.Context(), config.Service)
		remote := propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		if internal {
			// What it says of the person, and nothing of the service itself.
			ctx = remote
			request.ClientAddress = ""
			if address, err := netip.ParseAddr(r.Header.Get(clientAddressHeader)); err == nil {
				request.ClientAddress = address.String()
			}
			request.UserAgent = printable(r.Header.Get(userAgentHeader))
		} else if link := trace.LinkFromContext(remote); link.SpanContext.IsValid() {
			options = append(options, trace.WithNewRoot(), trace.WithLinks(link))
		}
		if internal && !trace.SpanContextFromContext(ctx).IsValid() || slices.Contains(config.Untraced, r.URL.Path) {
			ctx = unrecorded(ctx)
		} else {
			var span trace.Span
			ctx, span = tracer.Start(ctx, spanName(r.Method), options...)
			span.SetAttributes(attribute.String("muster.request_id", request.ID))
			defer span.End()
		}
		w.Header().Set(RequestIDHeader, request.ID)
		next.ServeHTTP(w, r.WithContext(WithRequest(ctx, request)))
	})
}

// spanName is what a call is called until its procedure is known: a stranger's
// method may be anything.
func spanName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "HTTP"
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil { // only when the system has no randomness
		return uuid.Nil.String()
	}
	return id.String()
}

// clientAddress is the peer's; behind trusted proxies, the last address of
// X-Forwarded-For that is not a trusted proxy's: the ones before it are hearsay.
func clientAddress(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	client := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			break
		}
		address, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		client = address.Unmap()
	}
	return client.WithZone("").String()
}

// printable drops what a terminal or a log reader might obey, and cuts.
func printable(text string) string {
	var out strings.Builder
	for _, char := range text {
		if char == unicode.ReplacementChar || !unicode.IsPrint(char) {
			continue
		}
		if out.Len()+len(string(char)) > maxUserAgent {
			break
		}
		out.WriteRune(char)
	}
	return out.String()
}
