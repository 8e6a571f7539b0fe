package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

// Options of a system.
type Options struct {
	// Dir is the data directory.
	Dir string
	// Port of the public API; 0 takes 8080, or a free one if that is taken.
	Port int
	// Broker runs RabbitMQ. Without it projections live on the log alone.
	Broker bool
	// Separate runs each service as its own process.
	Separate bool
	// Environ is searched for addresses of servers and settings of services.
	Environ []string
	// Progress is told each step in a line.
	Progress io.Writer
	// Throwaway is for tests: see devstack.Config.
	Throwaway bool
	// Standby runs a second identity beside a separate one. Nobody calls it: it is
	// there to forward when the first one does not.
	Standby bool
	// Adjust may change the settings of a service once all of them are decided: a
	// fault run puts its proxies there. nil for none.
	Adjust func(service string, settings map[string]string) error
}

// System is a running Muster.
type System struct {
	// URL of the public API.
	URL string
	// Databases are the run-time roles' addresses by name.
	Databases map[string]secret.String
	// Services tells where each listens, Metrics where it serves its metrics.
	Services map[string]string
	Metrics  map[string]string
	// PIDs of the services' processes; empty where they run inside this one.
	PIDs map[string]int
	// AdminPassword is the path of the first admin's one-time password.
	AdminPassword string
	// Certificates is the folder of all certificates.
	Certificates string
	// Servers are PostgreSQL, RabbitMQ and S3.
	Servers *devstack.Stack

	// parts are the services in the order of their start, started says how.
	parts   []part
	started []launch
	// failed takes the first error of a part or server that ended by itself.
	failed chan error
	// watching ends with stopping.
	watching sync.WaitGroup
	stopping chan struct{}
}

const (
	// readyBound is how long the services may take until they answer.
	readyBound = 90 * time.Second
	readyPause = 50 * time.Millisecond
)

// Start starts the servers and the services and returns when the public API is
// ready. ctx bounds the start alone; Stop ends everything.
func Start(ctx context.Context, options Options) (*System, error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	say := func(format string, arguments ...any) {
		if options.Progress != nil {
			_, _ = fmt.Fprintf(options.Progress, format+"\n", arguments...)
		}
	}
	s := &System{PIDs: map[string]int{}, Services: map[string]string{}, Metrics: map[string]string{}, Databases: map[string]secret.String{}, failed: make(chan error, 1), stopping: make(chan struct{})}
	if s.Servers, err = startServers(ctx, dir, options); err != nil {
		return nil, err
	}
	s.watch(s.Servers.Failed())
	if err := s.start(ctx, layout{dir}, options, say); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *System) start(ctx context.Context, l layout, options Options, say func(string, ...any)) error {
	ports, err := s.ports(options, say)
	if err != nil {
		return err
	}
	databases, err := provision(ctx, s.Servers.AdminURL, l.secrets())
	if err != nil {
		return err
	}
	if err := certificate.MakeAuthority(l.certificates(), append([]string{"muster", operator}, names...)...); err != nil {
		return err
	}
	environments, err := settings(onThisMachine(l, ports), l.secrets(), databases, s.Servers.AMQPURL, s.Servers.S3)
	if err != nil {
		return err
	}
	s.URL = "http://" + local(ports["gateway"])
	s.AdminPassword = l.adminPassword()
	s.Certificates = l.certificates()
	for name, urls := range databases {
		s.Databases[name] = urls.Runtime
	}
	for _, name := range names {
		s.Services[name] = local(ports[name])
		s.Metrics[name] = local(ports[metrics(name)])
		if err := environments[name].overlay(name, options.Environ); err != nil {
			return err
		}
		if options.Adjust == nil {
			continue
		}
		if err := options.Adjust(name, environments[name]); err != nil {
			return fmt.Errorf("adjust the settings of %s: %w", name, err)
		}
	}
	began := time.Now()
	together := programs(password.NewPool(password.DefaultParams, 0, 0))
	for _, name := range names {
		var begun part
		if options.Separate {
			begun, err = startSeparate(name, environments[name], l.log(name))
		} else {
			begun, err = startInside(ctx, name, together[name], environments[name], l.log(name))
		}
		if err != nil {
			return err
		}
		s.add(launch{name, name, environments[name], l.log(name)}, begun)
	}
	if err := s.awaitReady(ctx, say); err != nil {
		return err
	}
	if options.Separate && options.Standby {
		if err := s.startStandby(l, environments["identity"]); err != nil {
			return err
		}
	}
	// The services start without S3, and without RabbitMQ, which takes longer
	// than they do.
	switch err := s.Servers.AwaitS3(ctx); {
	case errors.Is(err, devstack.ErrNotOurs):
		say("%v: files and avatars are unavailable until it answers", err)
	case err != nil:
		return err
	}
	switch err := s.Servers.AwaitBroker(ctx); {
	case errors.Is(err, devstack.ErrNotOurs):
		say("%v: events travel by the log alone until it answers", err)
	case err != nil:
		return err
	}
	say("%s answer (%.1f s)", strings.Join(names, ", "), time.Since(began).Seconds())
	return nil
}

func (s *System) ports(options Options, say func(string, ...any)) (map[string]int, error) {
	if options.Port == 0 {
		ports, err := s.Servers.Ports(usual)
		if err == nil && !options.Throwaway && ports["gateway"] != usual["gateway"] {
			say("port %d is taken, or was at an earlier start: the API is on %d", usual["gateway"], ports["gateway"])
		}
		return ports, err
	}
	wanted := maps.Clone(usual)
	delete(wanted, "gateway")
	// One that was asked for is that one or none, whatever it was before.
	asked := fmt.Sprintf("gateway on %d", options.Port)
	wanted[asked] = options.Port
	ports, err := s.Servers.Ports(wanted)
	if err != nil {
		return nil, err
	}
	if ports[asked] != options.Port {
		return nil, fmt.Errorf("port %d is taken: choose another with --port", options.Port)
	}
	ports["gateway"] = options.Port
	return ports, nil
}

// watch passes the first failure on, until Stop.
func (s *System) watch(failed <-chan error) {
	s.watching.Go(func() {
		select {
		case <-s.stopping:
		case err := <-failed:
			select {
			case s.failed <- err:
			default: // one is enough to stop everything
			}
		}
	})
}

// awaitReady asks the gateway until it says that everything behind it answers.
func (s *System) awaitReady(ctx context.Context, say func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	quiet := time.After(3 * time.Second)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz", nil)
		if err != nil {
			return err
		}
		answer := "no answer yet"
		if response, err := client.Do(request); err == nil {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			answer = string(text)
		}
		select {
		case <-quiet:
			say("waiting for the services: %s", answer)
		case err := <-s.failed:
			return err
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("the services are not ready: %s: %w", answer, context.Cause(ctx))
		}
	}
}

// Failed gives the error of a part that ended by itself; the rest still runs.
func (s *System) Failed() <-chan error { return s.failed }

// Stop ends the services, the last one started first, so that nobody is let in
// to one that has nothing behind it any more, and then the servers.
func (s *System) Stop() error {
	close(s.stopping)
	s.watching.Wait()
	var errs []error
	for _, begun := range slices.Backward(s.parts) {
		errs = append(errs, begun.stop())
	}
	errs = append(errs, s.Servers.Stop())
	return errors.Join(errs...)
}
