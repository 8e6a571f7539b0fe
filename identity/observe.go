package identity

import (
	"context"

	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/status"
)

// observe gathers what the parts tell of themselves, once all of them are wired.
func (s *Service) observe(config Config) error {
	f := &s.followers
	checks := []status.Check{
		{Name: "postgres", Vital: true, Probe: database.Probe(s.pools[0])},
		{Name: "postgres keyring", Vital: true, Probe: database.Probe(s.pools[1])},
		{Name: "projection users", Probe: f.users.Probe, Projection: f.users.Health},
		{Name: "projection avatars", Probe: f.avatars.Probe, Projection: f.avatars.Health},
		{Name: "eraser", Probe: s.erasing},
		{Name: "credentials", Probe: status.Service(grpchealth.NewClient(s.upstream, config.CredentialsURL, serve.ClientInterceptors()))},
		{Name: "media", Probe: status.Service(grpchealth.NewClient(f.toMedia, config.MediaURL, serve.ClientInterceptors()))},
	}
	sources := []metrics.Source{
		s.log.Metrics, f.users.Metrics, f.avatars.Metrics, s.passwords.Metrics,
		database.Metrics("identity", s.pools[0]), database.Metrics("keyring", s.pools[1]), s.erased,
	}
	if f.forwarder != nil {
		checks = append(checks,
			status.Check{Name: "rabbitmq", Probe: f.connection.Probe},
			status.Check{Name: "forwarder", Probe: f.forwarder.Probe})
		sources = append(sources,
			f.forwarder.Metrics(s.log.Name()), f.connection.Metrics("subscribe"), f.publishing.Metrics("publish"))
	}
	return s.observed.Watch(config.MetricsListen, checks, sources...)
}

// erasing is the probe of the eraser.
func (s *Service) erasing(context.Context) (status.State, string, error) {
	if err := s.followers.eraser.Stats().Err; err != nil {
		return status.Degraded, "erasures are not carried out", err
	}
	return status.Up, "", nil
}

// erased gives the metrics of the eraser.
func (s *Service) erased(emit metrics.Emit) {
	stats := s.followers.eraser.Stats()
	failing := 0.0
	if stats.Err != nil {
		failing = 1
	}
	emit("muster_erasures_total", "People erased by this process.", float64(stats.Erased))
	emit("muster_erasures_failing", "1 while an erasure cannot be carried out.", failing)
}
