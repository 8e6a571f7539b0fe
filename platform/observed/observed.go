package observed

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/process"
	"github.com/muster-id/muster/platform/status"
	"github.com/muster-id/muster/platform/telemetry"
)

// Service is what shows how a service is. Nil may be closed.
type Service struct {
	tracing *telemetry.Tracing
	monitor *status.Monitor
	metrics *metrics.Metrics
	scraped *metrics.Server
	logger  *slog.Logger
}

// New begins to trace, which other parts need when they are made. Watch follows
// once they are there.
func New(ctx context.Context, name string, logger *slog.Logger) (*Service, error) {
	tracing, err := telemetry.NewTracing(ctx, name, logger)
	if err != nil {
		return nil, err
	}
	return &Service{tracing: tracing, logger: logger}, nil
}

// Watch takes what the parts tell of themselves, and binds the address, host:port,
// that Prometheus reads; none if it is empty.
func (s *Service) Watch(address string, checks []status.Check, sources ...metrics.Source) error {
	s.monitor = status.New(status.Config{Checks: checks, Logger: s.logger, Now: time.Now})
	s.metrics = metrics.New()
	s.metrics.Add(append(sources, s.monitor.Metrics)...)
	var err error
	s.scraped, err = metrics.Listen(address, s.metrics, s.logger)
	return err
}

// Tracers make the spans.
func (s *Service) Tracers() trace.TracerProvider { return s.tracing.Provider() }

// Monitor tells how the parts are; it is there once Watch was called.
func (s *Service) Monitor() *status.Monitor { return s.monitor }

// Meter counts the calls; it is there once Watch was called.
func (s *Service) Meter() *metrics.Metrics { return s.metrics }

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.scraped.Addr() }

// Run looks at the parts and answers Prometheus until ctx ends. It is called once,
// after Watch.
func (s *Service) Run(ctx context.Context) error {
	return process.Serve(ctx, s.scraped.Run, s.monitor.Run)
}

// Close sends the last spans to their collector, and frees the address where Run
// has not.
func (s *Service) Close() {
	if s == nil {
		return
	}
	_ = s.scraped.Close() // it is closed already where it ran
	s.tracing.Close()
}
