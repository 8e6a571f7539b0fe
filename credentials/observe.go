package credentials

import (
	"log/slog"
	"time"

	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/status"
	"github.com/muster-id/muster/platform/telemetry"
)

// observed is how operators see the service.
type observed struct {
	tracing *telemetry.Tracing
	metrics *metrics.Metrics
	scraped *metrics.Server
	monitor *status.Monitor
}

// observe gathers what the parts tell of themselves, once all of them are wired.
func (s *Service) observe(config Config, logger *slog.Logger) error {
	checks := []status.Check{
		{Name: "postgres", Vital: true, Probe: s.keeper.Probe},
		{Name: "projection access", Vital: true, Probe: s.projector.Probe, Projection: s.projector.Health},
		{Name: "identity", Probe: status.Service(grpchealth.NewClient(s.toLog, config.IdentityURL, serve.ClientInterceptors()))},
	}
	sources := []metrics.Source{s.projector.Metrics, s.passwords.Metrics, database.Metrics(name, s.pool)}
	if s.broker != nil {
		checks = append(checks, status.Check{Name: "rabbitmq", Probe: s.broker.Probe})
		sources = append(sources, s.broker.Metrics("subscribe"))
	}
	s.monitor = status.New(status.Config{Checks: checks, Logger: logger, Now: time.Now})
	s.metrics = metrics.New()
	s.metrics.Add(append(sources, s.monitor.Metrics)...)
	var err error
	s.scraped, err = metrics.Listen(config.MetricsListen, s.metrics, logger)
	return err
}

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.scraped.Addr() }
