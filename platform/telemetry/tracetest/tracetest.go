// Package tracetest is a collector of traces for tests: it takes spans over
// OTLP, as HTTP with protobuf, and keeps them.
package tracetest

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// patience is how long Await waits before it fails the test.
const patience = 60 * time.Second

// Span as it has come.
type Span struct {
	// Service that made it, and its name.
	Service, Name string
	// TraceID, ID and Parent in hexadecimal; Parent is empty at a trace's root.
	TraceID, ID, Parent string
	// Kind of the span.
	Kind tracev1.Span_SpanKind
	// Failed tells that its status is an error.
	Failed bool
	// Attributes as text.
	Attributes map[string]string
	// Links are the ids of other traces.
	Links []string
}

// Collector keeps what services send.
type Collector struct {
	// URL for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	mu      sync.Mutex
	spans   []Span
	changed chan struct{} // closed when more has come
}

// New starts a collector, until the test ends.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender has gone
	}
	var request collectorv1.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, read(service, span))
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func read(service string, span *tracev1.Span) Span {
	s := Span{
		Service: service, Name: span.GetName(), Kind: span.GetKind(),
		TraceID: hex.EncodeToString(span.GetTraceId()), ID: hex.EncodeToString(span.GetSpanId()), Parent: hex.EncodeToString(span.GetParentSpanId()),
		Failed:     span.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		Attributes: attributes(span.GetAttributes()),
	}
	for _, link := range span.GetLinks() {
		s.Links = append(s.Links, hex.EncodeToString(link.GetTraceId()))
	}
	return s
}

func attributes(pairs []*commonv1.KeyValue) map[string]string {
	read := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		switch value := pair.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			read[pair.GetKey()] = value.StringValue
		case *commonv1.AnyValue_IntValue:
			read[pair.GetKey()] = fmt.Sprint(value.IntValue)
		default:
			read[pair.GetKey()] = pair.GetValue().String()
		}
	}
	return read
}

// Spans are all that have come.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Await waits until the spans that have come are enough, and gives them. It
// fails the test when they are not within a minute.
func (c *Collector) Await(t testing.TB, what string, enough func([]Span) bool) []Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		spans := c.Spans()
		if enough(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: not among %d spans:\n%s", what, len(spans), list(spans))
		}
	}
}

func list(spans []Span) string {
	var text strings.Builder
	for _, span := range spans {
		_, _ = fmt.Fprintf(&text, "%s %s: %s\n", span.TraceID, span.Service, span.Name)
	}
	return text.String()
}
