package devstack

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

//go:embed install.sh
var installScript string

// installBound is for a slow mirror; RabbitMQ and PostgreSQL are 60 MB.
const installBound = 10 * time.Minute

// installer installs packages of the distribution.
type installer func(ctx context.Context, packages []string) error

// aptInstaller installs with apt-get, as root or through sudo, and says so
// first. What apt-get says goes to the log.
func aptInstaller(m machine, p *progress, openLog func() (*os.File, error)) installer {
	return func(ctx context.Context, packages []string) error {
		if _, err := m.LookPath("apt-get"); err != nil {
			return errors.New("there is no apt-get on PATH; install " + strings.Join(packages, " ") + " with the one that is there")
		}
		become, err := becomeRoot(ctx, m)
		if err != nil {
			return fmt.Errorf("%w; to do it by hand: apt-get install --no-install-recommends %s", err, strings.Join(packages, " "))
		}
		log, err := openLog()
		if err != nil {
			return err
		}
		defer log.Close() //nolint:errcheck // the log of an installation
		p.say("installing %s with apt-get%s; no service of theirs is started or enabled (log: %s)",
			strings.Join(packages, " "), through(become), log.Name())
		ctx, cancel := context.WithTimeout(ctx, installBound)
		defer cancel()
		start := time.Now()
		command := append(become, "sh", "-c", installScript, "muster-install", "")
		if err := m.Run(ctx, log, append(command, packages...)...); err != nil {
			return fmt.Errorf("apt-get: %w\n%s", err, tail(log.Name()))
		}
		p.say("installed (%s)", seconds(time.Since(start)))
		return nil
	}
}

// becomeRoot gives what to put before a command that root must run.
func becomeRoot(ctx context.Context, m machine) ([]string, error) {
	if m.Root() {
		return nil, nil
	}
	if _, err := m.LookPath("sudo"); err != nil {
		return nil, errors.New("apt-get needs root, and there is no sudo on PATH")
	}
	if err := m.Run(ctx, io.Discard, "sudo", "-n", "true"); err == nil {
		return []string{"sudo", "-n"}, nil
	}
	if m.Terminal() {
		return []string{"sudo"}, nil
	}
	return nil, errors.New("apt-get needs root, and sudo asks for a password, which nobody is there to type")
}

func through(become []string) string {
	if len(become) == 0 {
		return ""
	}
	return " through " + strings.Join(become, " ")
}

// raceTools are the packages that `go test -race` lacks.
func raceTools(ctx context.Context, m machine) []string {
	if m.Getenv("CC") != "" {
		return nil // a compiler of somebody's choice
	}
	if _, err := m.LookPath("gcc"); err == nil {
		// A compiler without the C library's headers is of no use.
		if _, err := output(ctx, m, "gcc", "-E", "-include", "stdlib.h", "-x", "c", "/dev/null", "-o", "/dev/null"); err == nil {
			return nil
		}
	}
	return []string{"gcc", "libc6-dev"}
}
