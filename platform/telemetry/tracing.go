package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// flushTimeout bounds how long a shutdown waits for a collector.
	flushTimeout = 2 * time.Second
	// spanQueue bounds the spans that wait for a collector; later ones are dropped.
	spanQueue = 2048
	// spanDelay is how long a span waits for others to go with.
	spanDelay = time.Second
	// complainEvery is how often a collector that is away is worth a line.
	complainEvery = time.Minute
	// giveUpAfter bounds how long one batch is tried.
	giveUpAfter = 10 * time.Second
)

// Tracing makes a service's spans and sends them to a collector, where there is
// one. A collector that is away or slow costs nothing but spans.
type Tracing struct {
	provider *sdktrace.TracerProvider
	out      *outbox // nil without a collector
}

// NewTracing sets tracing up as the process's environment says, in the variables
// of OpenTelemetry's specification: it is off unless OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and spans go there over HTTP. A
// value that means nothing is an error. The service's name is always its own,
// since several services may share a process. Close has to follow.
func NewTracing(ctx context.Context, service string, logger *slog.Logger) (*Tracing, error) {
	if !tracingAsked() {
		return &Tracing{provider: NewTracerProvider(service)}, nil
	}
	if err := checkTracing(); err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: giveUpAfter,
	}))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return newTracing(ctx, service, logger, exporter)
}

// newTracing sends spans by any exporter.
func newTracing(ctx context.Context, service string, logger *slog.Logger, exporter sdktrace.SpanExporter) (*Tracing, error) {
	of, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.namespace", "muster"),
		attribute.String("service.name", service),
	))
	if err != nil {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	out := &outbox{next: exporter, logger: logger, now: time.Now, closing: make(chan struct{}), closed: make(chan struct{})}
	return &Tracing{
		out: out,
		provider: sdktrace.NewTracerProvider(sdktrace.WithResource(of),
			sdktrace.WithBatcher(out, sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithBatchTimeout(spanDelay))),
	}, nil
}

// Provider makes the spans.
func (t *Tracing) Provider() trace.TracerProvider { return t.provider }

// Close sends what is left, for two seconds at most. Nil may be closed.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what it has to say, outbox has said
	if t.out != nil {
		close(t.out.closing) // ends a call that still waits for the collector
		<-t.out.closed
	}
}

// tracingAsked tells whether there is a collector.
func tracingAsked() bool {
	off, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED"))
	if off || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// checkTracing names what OpenTelemetry's SDK would pass over with a line on
// standard error at most.
func checkTracing() error {
	var faults []error
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if text := os.Getenv(name); text != "" {
			if to, err := url.Parse(text); err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
				faults = append(faults, fmt.Errorf("%s has to be http://host:port or https://host:port", name))
			}
		}
	}
	among := func(name string, known ...string) {
		if text := os.Getenv(name); text != "" && !slices.Contains(known, strings.ToLower(text)) {
			faults = append(faults, fmt.Errorf("%s is %q; known are %s", name, text, strings.Join(known, ", ")))
		}
	}
	among("OTEL_TRACES_EXPORTER", "otlp", "none")
	among("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "http/json")
	among("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "http/json")
	among("OTEL_TRACES_SAMPLER", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	if text := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); text != "" {
		if ratio, err := strconv.ParseFloat(text, 64); err != nil || ratio < 0 || ratio > 1 {
			faults = append(faults, errors.New("OTEL_TRACES_SAMPLER_ARG has to be 0 to 1"))
		}
	}
	return errors.Join(faults...)
}

// outbox passes spans on, and keeps an exporter's errors to a line a minute:
// OpenTelemetry would print each of them.
type outbox struct {
	next    sdktrace.SpanExporter
	logger  *slog.Logger
	now     func() time.Time
	closing chan struct{} // closed when nothing may be waited for any more
	closed  chan struct{} // closed when the exporter is shut down

	mu   sync.Mutex
	lost int       // spans since the last line
	told time.Time // when that was
}

var _ sdktrace.SpanExporter = (*outbox)(nil)

// ExportSpans never fails.
func (o *outbox) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := o.until(ctx)
	defer cancel()
	if err := o.next.ExportSpans(ctx, spans); err != nil {
		o.complain(ctx, len(spans), err)
	}
	return nil
}

// Shutdown is called once, after the last ExportSpans.
func (o *outbox) Shutdown(ctx context.Context) error {
	defer close(o.closed)
	ctx, cancel := o.until(ctx)
	defer cancel()
	return o.next.Shutdown(ctx)
}

// until gives a context that ends with closing too.
func (o *outbox) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-o.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (o *outbox) complain(ctx context.Context, spans int, err error) {
	o.mu.Lock()
	o.lost += spans
	lost := o.lost
	quiet := !o.told.IsZero() && o.now().Sub(o.told) < complainEvery
	if !quiet {
		o.lost, o.told = 0, o.now()
	}
	o.mu.Unlock()
	if !quiet {
		o.logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "the collector of traces does not take spans", slog.Int("lost", lost), slog.Any("error", err))
	}
}
