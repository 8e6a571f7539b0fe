package credentials

import (
	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/status"
)

// observe gathers what the parts tell of themselves, once all of them are wired.
func (s *Service) observe(config Config) error {
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
	return s.observed.Watch(config.MetricsListen, checks, sources...)
}
