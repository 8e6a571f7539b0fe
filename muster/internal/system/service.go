package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/muster-id/muster/credentials"
	"github.com/muster-id/muster/gateway"
	"github.com/muster-id/muster/identity"
	"github.com/muster-id/muster/media"
	"github.com/muster-id/muster/platform/devstack/child"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/process"
)

// Services are the programs by name, each to be a process of its own.
func Services() map[string]process.Program { return programs(nil) }

// programs are the services; those that hash passwords take theirs from one
// pool if it is given, so that one bound holds for their whole process.
func programs(passwords *password.Pool) map[string]process.Program {
	return map[string]process.Program{
		"identity": process.New("identity", func(ctx context.Context, c identity.Config, logger *slog.Logger) (*identity.Service, error) {
			c.Passwords.Shared = passwords
			return identity.New(ctx, c, logger)
		}),
		"credentials": process.New("credentials", func(ctx context.Context, c credentials.Config, logger *slog.Logger) (*credentials.Service, error) {
			c.Passwords.Shared = passwords
			return credentials.New(ctx, c, logger)
		}),
		"media":   process.New("media", media.New),
		"gateway": process.New("gateway", gateway.New),
	}
}

// part is a service that runs, wherever.
type part interface {
	// pid of its process; 0 inside this one.
	pid() int
	// failed gives the error with which it ended by itself.
	failed() <-chan error
	// stop ends it in order, within a bound.
	stop() error
}

// stopBound is how long a child may take to shut down; a service bounds its own
// shutdown below it.
const stopBound = 10 * time.Second

// inside is a service in this process.
type inside struct {
	cancel context.CancelFunc
	ended  chan error
	done   chan struct{}
	log    *os.File
}

func startInside(ctx context.Context, name string, program process.Program, settings environment, path string) (part, error) {
	log, err := openLog(path)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	service, err := program.Start(ctx, "", settings.pairs(), log)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// It outlives the start, and so its context.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i := &inside{cancel: cancel, ended: make(chan error, 1), done: make(chan struct{}), log: log}
	go func() {
		defer close(i.done)
		err := service.Run(serving)
		if serving.Err() == nil {
			i.ended <- fmt.Errorf("%s ended by itself: %w (its log: %s)", name, cmp.Or(err, errNoReason), path)
		}
	}()
	return i, nil
}

func (i *inside) pid() int             { return 0 }
func (i *inside) failed() <-chan error { return i.ended }

func (i *inside) stop() error {
	i.cancel()
	<-i.done
	return i.log.Close()
}

// separate is a service as a process of its own: the same binary, with its own
// settings and little else of our environment.
type separate struct {
	child *child.Child
	ended chan error
}

var errNoReason = errors.New("no reason given")

func startSeparate(name string, settings environment, path string) (part, error) {
	log, err := openLog(path)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	return startChild(name, settings, path, log)
}

func startChild(name string, settings environment, path string, log *os.File) (part, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	command := exec.Command(binary, "serve", name) //nolint:gosec,noctx // ourselves; ended by stop
	command.Env = append(settings.pairs(), reexec(os.Environ())...)
	command.Stdout, command.Stderr = log, log
	started, err := child.Start(command, syscall.SIGTERM)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &separate{child: started, ended: make(chan error, 1)}
	go func() { // ends with the child
		err := started.Err()
		p.ended <- fmt.Errorf("%s ended by itself: %w (its log: %s)", name, cmp.Or(err, errNoReason), path)
	}()
	return p, nil
}

func (p *separate) pid() int             { return p.child.PID() }
func (p *separate) failed() <-chan error { return p.ended }
func (p *separate) stop() error          { return p.child.Stop(syscall.SIGTERM, stopBound) }

// reexec is what a child needs of our environment: where programs and
// temporary files are, and what makes a test binary behave as `muster`.
func reexec(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		for _, name := range []string{"PATH=", "HOME=", "TMPDIR=", "GOCOVERDIR=", "GORACE=", "MUSTER_TEST_MAIN="} {
			if strings.HasPrefix(pair, name) {
				kept = append(kept, pair)
			}
		}
	}
	return kept
}

// cutSetting splits a pair that sets something of the service: what bears its
// name, and what OpenTelemetry gives to every program.
func cutSetting(service, pair string) (name, value string, ours bool) {
	name, value, _ = strings.Cut(pair, "=")
	return name, value, strings.HasPrefix(name, setting(service, "")) || strings.HasPrefix(name, "OTEL_")
}

// setting is the name of a service's setting in the environment.
func setting(service, name string) string {
	return "MUSTER_" + strings.ToUpper(service) + "_" + name
}

// openLog begins a log file; the one before it stays beside it.
func openLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return continueLog(path)
}

func continueLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // a path of ours
}
