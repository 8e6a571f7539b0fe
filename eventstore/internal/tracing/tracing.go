// Package tracing makes spans of what is done with events after their command:
// they belong to the trace of the call that each event came from, whose context
// travels in its metadata.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
)

const (
	tracer = "github.com/muster-id/muster/eventstore"
	// maxSpans bounds the spans of one batch: more traces at once than that show
	// nobody anything, and the sampler is the place to have fewer.
	maxSpans = 64
	// maxAge is how old an event may be: a replay is no part of the calls of old.
	maxAge = 10 * time.Minute
)

// Record makes a span of work that has ended now, in each recorded trace that
// one of the events came from. Nothing is made without tracers.
func Record(tracers trace.TracerProvider, name string, kind trace.SpanKind, began time.Time, events []eventstore.Event, attributes ...attribute.KeyValue) {
	if tracers == nil || len(events) == 0 {
		return
	}
	ended := time.Now()
	count := make(map[string]int)
	var parents []string // in the order of the events
	for _, event := range events {
		parent := event.Metadata.TraceParent
		if parent == "" || ended.Sub(event.OccurredAt) > maxAge {
			continue
		}
		if count[parent]++; count[parent] == 1 {
			parents = append(parents, parent)
		}
	}
	made := 0
	for _, parent := range parents {
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
		if !trace.SpanContextFromContext(ctx).IsSampled() {
			continue
		}
		if made++; made > maxSpans {
			return
		}
		_, span := tracers.Tracer(tracer).Start(ctx, name, trace.WithTimestamp(began), trace.WithSpanKind(kind),
			trace.WithAttributes(attributes...), trace.WithAttributes(attribute.Int("muster.events", count[parent])))
		span.End(trace.WithTimestamp(ended))
	}
}

// Start begins a span inside a call that is being traced; in any other it costs
// nothing.
func Start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(tracer).Start(ctx, name, trace.WithAttributes(attributes...))
}
