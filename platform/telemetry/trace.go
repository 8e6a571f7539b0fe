package telemetry

import (
	"context"
	"crypto/rand"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// NewTracerProvider makes a provider whose spans go nowhere: they give logs,
// events and other services their trace id.
func NewTracerProvider(service string) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		sdktrace.WithSampler(sdktrace.NeverSample()),
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

// StartCall begins the span of a call of another service, where the context has
// a trace that is recorded; else it costs nothing.
func StartCall(ctx context.Context, procedure string) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(tracerName).
		Start(ctx, procedure, trace.WithSpanKind(trace.SpanKindClient))
}

// unrecorded gives the context a trace id for the log, and no span.
func unrecorded(ctx context.Context) context.Context {
	var id trace.SpanContextConfig
	_, _ = rand.Read(id.TraceID[:]) // never fails
	_, _ = rand.Read(id.SpanID[:])
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(id))
}
