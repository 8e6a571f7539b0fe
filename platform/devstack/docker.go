package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muster-id/muster/platform/durable"
)

// containerLabel marks our containers with the data directory's id and the server.
const containerLabel = "muster.devstack"

// containerBound is for Docker's own commands, without what the server in a
// container takes to end.
const containerBound = 30 * time.Second

// leftGrace is how long a server that was left may take to end.
const leftGrace = max(postgresBound, brokerBound)

// container is a server run by Docker.
type container struct {
	server      string
	title       string
	image       string
	ports       map[int]int // on 127.0.0.1 → in the container
	volume      string      // where the image keeps its data
	hostname    string
	environment []string
	arguments   []string
	signal      syscall.Signal
	bound       time.Duration
}

// launchContainer runs `docker run` in the foreground, which hands signals on to
// the server and ends with it.
func (s *Stack) launchContainer(ctx context.Context, c container) (*process, error) {
	// One whose "docker run" was killed still has the port.
	if err := s.removeContainers(ctx, c.server, c.bound); err != nil {
		return nil, err
	}
	if err := s.prepareVolume(ctx, c.server); err != nil {
		return nil, err
	}
	// Not as arguments, which everybody can read in the list of processes.
	environment := s.directory.file(c.server + ".environment")
	if err := durable.Write(environment, []byte(strings.Join(c.environment, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("%s: %w", c.title, err)
	}
	started, err := s.directory.launch(command{
		name: c.title, log: c.server, argv: s.dockerRun(c, environment),
		env:   os.Environ(), // the engine's address and the user's settings for it
		death: c.signal, signal: c.signal, bound: c.bound,
	})
	if err != nil {
		return nil, err
	}
	started.remove = func(ctx context.Context, grace time.Duration) error {
		return s.removeContainers(ctx, c.server, grace)
	}
	return started, nil
}

func (s *Stack) dockerRun(c container, environment string) []string {
	argv := []string{"docker", "run", "--rm", "--label", s.label(c.server), "--env-file", environment,
		"--volume", s.volume(c.server) + ":" + c.volume}
	if c.hostname != "" {
		argv = append(argv, "--hostname", c.hostname)
	}
	for _, port := range slices.Sorted(maps.Keys(c.ports)) {
		argv = append(argv, "--publish", fmt.Sprintf("127.0.0.1:%d:%d", port, c.ports[port]))
	}
	return append(append(argv, c.image), c.arguments...)
}

// removeLeft removes what a killed process of ours has left, and with it what
// holds the ports that are wanted again.
func (s *Stack) removeLeft(ctx context.Context, sources map[string]source) error {
	for server, source := range sources {
		if source.kind != byDocker {
			continue
		}
		if err := s.removeContainers(ctx, server, leftGrace); err != nil {
			return fmt.Errorf("remove what an earlier start has left: %w", err)
		}
	}
	return nil
}

// removeContainers ends and removes a server's containers. `docker run` cannot
// be relied on for that: it gives up at the third signal, of which the kernel
// may send several at our death, and an image's script ignores them while it
// makes the data.
func (s *Stack) removeContainers(ctx context.Context, server string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+containerBound)
	defer cancel()
	if s.directory.isVoid(server) {
		grace = 0
	}
	var removeErr error
	for {
		ids, err := output(ctx, s.machine, "docker", "ps", "--all", "--quiet", "--filter", "label="+s.label(server))
		if err != nil {
			return errors.Join(removeErr, err)
		}
		if ids == "" {
			return nil // by us, or by --rm in the middle of what we asked for
		}
		if removeErr != nil && pause(ctx, probePause) != nil {
			return removeErr
		}
		found := strings.Fields(ids)
		if grace > 0 {
			// With the signal that the image is made for.
			stop := []string{"docker", "stop", "-t", strconv.Itoa(int(grace.Seconds()))}
			_, _ = output(ctx, s.machine, append(stop, found...)...) // what it leaves goes below
		}
		_, removeErr = output(ctx, s.machine, append([]string{"docker", "rm", "--force", "--volumes"}, found...)...)
		grace = 0
	}
}

// prepareVolume makes sure that a server finds either whole data or none. The
// images take any data for whole ones, also those that a first start has left
// in the middle: until it has answered, a new volume is void.
func (s *Stack) prepareVolume(ctx context.Context, server string) error {
	if s.directory.isVoid(server) {
		if err := s.removeVolume(ctx, server); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, containerBound)
	defer cancel()
	volumes, err := output(ctx, s.machine, "docker", "volume", "ls", "--quiet", "--filter", "name="+s.volume(server))
	if err != nil || slices.Contains(strings.Fields(volumes), s.volume(server)) {
		return err
	}
	return s.directory.markVoid(server)
}

func (s *Stack) removeVolume(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, containerBound)
	defer cancel()
	if _, err := output(ctx, s.machine, "docker", "volume", "rm", "--force", s.volume(server)); err != nil {
		return err
	}
	return s.directory.markWhole(server)
}

// containers are the servers whose data Docker holds.
func (s *Stack) containers() []string {
	var servers []string
	for server, kind := range s.directory.state.Kinds {
		if kind == byDocker {
			servers = append(servers, server)
		}
	}
	return servers
}

func (s *Stack) label(server string) string {
	return containerLabel + "=" + s.directory.state.ID + "-" + server
}

func (s *Stack) volume(server string) string {
	return "muster-" + s.directory.state.ID + "-" + server
}
