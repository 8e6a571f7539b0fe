package telemetry

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewTracerProvider makes the provider of a service's spans. It has no exporter:
// spans give logs, events and other services their trace id.
func NewTracerProvider(service string) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
	)
}

// TraceParent gives the context's traceparent (W3C Trace Context); "" if there
// is no trace.
func TraceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get(traceParentHeader)
}

// Outgoing sets the headers by which another service knows the call: its id,
// trace, and the person's address and program.
func Outgoing(ctx context.Context, header http.Header) {
	request := RequestFrom(ctx)
	for name, value := range map[string]string{
		RequestIDHeader:     request.ID,
		clientAddressHeader: request.ClientAddress,
		userAgentHeader:     request.UserAgent,
		traceParentHeader:   TraceParent(ctx),
	} {
		if value != "" {
			header.Set(name, value)
		}
	}
}
