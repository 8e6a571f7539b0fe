package gateway

import "github.com/muster-id/muster/platform/status"

// observe gathers what is to be told of the services behind the gateway.
func (s *Service) observe(config Config) error {
	return s.observed.Watch(config.MetricsListen, []status.Check{
		{Name: "identity", Vital: true, Probe: status.Service(s.upstreams.identity.health())},
		{Name: "credentials", Vital: true, Probe: status.Service(s.upstreams.credentials.health())},
		{Name: "media", Probe: status.Service(s.upstreams.media.health())},
	})
}
