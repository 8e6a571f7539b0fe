package devstack

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// containerLabel marks our containers with the data directory's id and the server.
const containerLabel = "muster.devstack"

// containerBound is for Docker's own commands.
const containerBound = 30 * time.Second

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

// launchContainer runs `docker run` in the foreground. It hands signals on to
// the server, so the container ends with it, also at our death; one that was
// left nevertheless is removed here.
func (s *Stack) launchContainer(ctx context.Context, c container) (*process, error) {
	if err := s.removeContainers(ctx, c.server); err != nil {
		return nil, err
	}
	// Not as arguments, which everybody can read in the list of processes.
	environment := s.directory.file(c.server + ".environment")
	if err := writeWhole(environment, []byte(strings.Join(c.environment, "\n")+"\n")); err != nil {
		return nil, fmt.Errorf("%s: %w", c.title, err)
	}
	return s.directory.launch(command{
		name: c.title, log: c.server, argv: s.dockerRun(c, environment),
		env:   os.Environ(), // the engine's address and the user's settings for it
		death: c.signal, signal: c.signal, bound: c.bound,
	})
}

func (s *Stack) dockerRun(c container, environment string) []string {
	argv := []string{"docker", "run", "--rm", "--label", s.label(c.server), "--env-file", environment}
	if c.hostname != "" {
		argv = append(argv, "--hostname", c.hostname)
	}
	for _, port := range slices.Sorted(maps.Keys(c.ports)) {
		argv = append(argv, "--publish", fmt.Sprintf("127.0.0.1:%d:%d", port, c.ports[port]))
	}
	if !s.throwaway {
		argv = append(argv, "--volume", s.volume(c.server)+":"+c.volume)
	}
	return append(append(argv, c.image), c.arguments...)
}

// removeContainers removes what a killed process of ours has left.
func (s *Stack) removeContainers(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, containerBound)
	defer cancel()
	ids, err := output(ctx, s.machine, "docker", "ps", "--all", "--quiet", "--filter", "label="+s.label(server))
	if err != nil || ids == "" {
		return err
	}
	_, err = output(ctx, s.machine, append([]string{"docker", "rm", "--force"}, strings.Fields(ids)...)...)
	return err
}

func (s *Stack) removeVolume(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, containerBound)
	defer cancel()
	_, err := output(ctx, s.machine, "docker", "volume", "rm", "--force", s.volume(server))
	return err
}

func (s *Stack) label(server string) string {
	return containerLabel + "=" + s.directory.state.ID + "-" + server
}

func (s *Stack) volume(server string) string {
	return "muster-" + s.directory.state.ID + "-" + server
}
