package system

import (
	"fmt"
	"maps"
	"syscall"

	"github.com/muster-id/muster/platform/devstack/child"
)

// Standby is the name of the second identity.
const Standby = "identity-2"

// launch is how a service was started.
type launch struct {
	name, service string
	settings      environment
	log           string
}

func (s *System) add(how launch, begun part) {
	s.parts, s.started = append(s.parts, begun), append(s.started, how)
	s.watch(begun.failed())
	if pid := begun.pid(); pid != 0 {
		s.PIDs[how.name] = pid
	}
}

// startStandby starts a second identity on ports of its own, once the first one
// has made its tables.
func (s *System) startStandby(l layout, settings environment) error {
	ports, err := s.Servers.Ports(map[string]int{Standby: 0, metrics(Standby): 0})
	if err != nil {
		return err
	}
	settings = maps.Clone(settings)
	settings[setting("identity", "LISTEN")] = local(ports[Standby])
	settings[setting("identity", "METRICS_LISTEN")] = local(ports[metrics(Standby)])
	begun, err := startSeparate("identity", settings, l.log(Standby))
	if err != nil {
		return err
	}
	s.Services[Standby], s.Metrics[Standby] = local(ports[Standby]), local(ports[metrics(Standby)])
	s.add(launch{Standby, "identity", settings, l.log(Standby)}, begun)
	return nil
}

// Signal sends a signal to a separate service; one that has ended is no fault.
// Like Ended, End and Again it is for one caller at a time, and not beside Stop.
func (s *System) Signal(name string, signal syscall.Signal) error {
	_, running, err := s.separate(name)
	if err != nil {
		return err
	}
	return running.Signal(signal)
}

// End ends a separate service in order, or kills it past a bound.
func (s *System) End(name string) error {
	_, running, err := s.separate(name)
	if err != nil {
		return err
	}
	return running.Stop(syscall.SIGTERM, stopBound)
}

// Ended tells whether a separate service has ended.
func (s *System) Ended(name string) (bool, error) {
	_, running, err := s.separate(name)
	if err != nil {
		return false, err
	}
	select {
	case <-running.Done():
		return true, nil
	default:
		return false, nil
	}
}

// Again waits until a separate service has ended, and starts it with the same
// settings. Its log goes on. It does not wait until the service answers.
func (s *System) Again(name string) error {
	at, running, err := s.separate(name)
	if err != nil {
		return err
	}
	<-running.Done()
	how := s.started[at]
	log, err := continueLog(how.log)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	begun, err := startChild(how.service, how.settings, how.log, log)
	if err != nil {
		return err
	}
	s.parts[at] = begun
	s.watch(begun.failed())
	s.PIDs[name] = begun.pid()
	return nil
}

// separate finds the process of a service.
func (s *System) separate(name string) (at int, running *child.Child, err error) {
	for at, how := range s.started {
		if p, apart := s.parts[at].(*separate); apart && how.name == name {
			return at, p.child, nil
		}
	}
	return 0, nil, fmt.Errorf("%s is no process of its own", name)
}
