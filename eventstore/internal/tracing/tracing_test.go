package tracing_test

import (
	"fmt"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/tracing"
)

// parent is a trace context of the n-th trace.
func parent(n int, flags string) string {
	return fmt.Sprintf("00-%032x-%016x-%s", n, n, flags)
}

func event(parent string, age time.Duration) eventstore.Event {
	return eventstore.Event{OccurredAt: time.Now().Add(-age), Metadata: eventstore.Metadata{TraceParent: parent}}
}

func record(events ...eventstore.Event) []sdktrace.ReadOnlySpan {
	recorder := tracetest.NewSpanRecorder()
	tracing.Record(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)), "apply", trace.SpanKindConsumer, time.Now().Add(-time.Second), events)
	return recorder.Ended()
}

// The events of one call are one span in its trace, as long as the work was.
func TestOneSpanForEachTrace(t *testing.T) {
	t.Parallel()
	spans := record(event(parent(1, "01"), 0), event(parent(2, "01"), 0), event(parent(1, "01"), 0))
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	first := spans[0]
	if got := first.Parent(); got.TraceID() != first.SpanContext().TraceID() || got.SpanID().String() != fmt.Sprintf("%016x", 1) {
		t.Errorf("parent %v", got)
	}
	if took := first.EndTime().Sub(first.StartTime()); took < time.Second {
		t.Errorf("it took %v", took)
	}
	if count := first.Attributes()[0]; count.Value.AsInt64() != 2 {
		t.Errorf("%v", count)
	}
}

// What was not recorded from its beginning, is old, or came from no call makes none.
func TestMostEventsMakeNoSpan(t *testing.T) {
	t.Parallel()
	if spans := record(event(parent(1, "00"), 0), event(parent(2, "01"), time.Hour), event("", 0), event("nonsense", 0)); len(spans) != 0 {
		t.Errorf("%d spans", len(spans))
	}
	tracing.Record(nil, "apply", trace.SpanKindConsumer, time.Now(), []eventstore.Event{event(parent(1, "01"), 0)})
}

// A batch of many calls makes a bounded number.
func TestSpansOfABatchAreBounded(t *testing.T) {
	t.Parallel()
	var events []eventstore.Event
	for n := range 500 {
		events = append(events, event(parent(n+1, "01"), 0))
	}
	if spans := record(events...); len(spans) != 64 {
		t.Errorf("%d spans", len(spans))
	}
}
