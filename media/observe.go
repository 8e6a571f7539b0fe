package media

import (
	"connectrpc.com/grpchealth"

	"github.com/muster-id/muster/media/internal/eraser"
	"github.com/muster-id/muster/media/internal/erasure"
	"github.com/muster-id/muster/media/internal/files"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/status"
)

// observe gathers what the parts tell of themselves, once all of them are wired.
func (s *Service) observe(config Config) error {
	ready := func(service, url string) status.Probe {
		return status.Service(grpchealth.NewClient(s.upstreams[service], url, serve.ClientInterceptors()))
	}
	checks := []status.Check{
		{Name: "postgres", Vital: true, Probe: database.Probe(s.pool)},
		{Name: "s3", Probe: status.Answers(s.objects.Ping)},
		{Name: "projection " + files.Name, Probe: s.files.Probe, Projection: s.files.Health},
		{Name: "projection " + eraser.Name, Probe: s.eraser.Probe, Projection: s.eraser.Health},
		{Name: "projection " + erasure.Name, Probe: s.erasure.Probe, Projection: s.erasure.Health},
		{Name: "identity", Probe: ready("identity", config.IdentityURL)},
		{Name: "credentials", Probe: ready("credentials", config.CredentialsURL)},
	}
	sources := []metrics.Source{
		s.log.Metrics, s.files.Metrics, s.eraser.Metrics, s.erasure.Metrics, database.Metrics(service, s.pool), s.work,
	}
	if s.forwarder != nil {
		checks = append(checks,
			status.Check{Name: "rabbitmq", Probe: s.connection.Probe},
			status.Check{Name: "forwarder", Probe: s.forwarder.Probe})
		sources = append(sources, s.forwarder.Metrics(s.log.Name()), s.connection.Metrics("all"))
	}
	return s.observed.Watch(config.MetricsListen, checks, sources...)
}

// work gives the metrics of pictures and of the sweeping.
func (s *Service) work(emit metrics.Emit) {
	pictures, swept := s.pictures.Stats(), s.sweeper.Stats()
	emit("muster_pictures_made_total", "Avatars made from uploaded pictures.", float64(pictures.Made))
	emit("muster_pictures_refused_total", "Pictures refused because too many waited already.", float64(pictures.Refused))
	emit("muster_pictures_queued", "Pictures that wait for their turn now.", float64(pictures.Waiting))
	emit("muster_objects_deleted_total", "Objects that nothing needs any more and that were deleted from the storage.", float64(swept.Deleted))
	emit("muster_objects_stray_total", "Those of them that nothing in the database knew.", float64(swept.Strays))
	emit("muster_objects_kept_total", "Objects that were due to be deleted and turned out to be needed.", float64(swept.Kept))
	emit("muster_objects_failed_total", "Objects that could not be dealt with, counted each time.", float64(swept.Failed))
}
