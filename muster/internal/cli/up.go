package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/muster-id/muster/muster/internal/stackfile"
	"github.com/muster-id/muster/muster/internal/system"
)

type up struct {
	Data     string `help:"Data directory; ${default} if not given." default:".muster" placeholder:"DIR"`
	Port     int    `help:"Port of the public API on 127.0.0.1. Default: 8080, or a free one where that is taken." placeholder:"N"`
	Broker   bool   `help:"Run RabbitMQ; without it events travel by the tail of the log." default:"true" negatable:""`
	Separate bool   `help:"Run each service in a process of its own."`
	Quiet    bool   `help:"Say nothing but errors."`
}

// Run starts everything and stops it at a signal, which is no failure.
func (c *up) Run(streams streams) error {
	out := streams.out
	if c.Quiet {
		out = io.Discard
	}
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("--port %d: a port is 1 to 65535", c.Port)
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	ctx := untilSignal()
	start := time.Now()
	running, err := system.Start(ctx, system.Options{
		Dir: data, Port: c.Port, Broker: c.Broker, Separate: c.Separate, Environ: os.Environ(), Progress: out,
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // called off
	}
	if err != nil {
		return err
	}
	err = c.watch(ctx, running, data, start, out)
	say(out, "stopping")
	return errors.Join(err, stackfile.Remove(data), running.Stop())
}

// watch tells where everything is, and waits for the signal or a failure.
func (c *up) watch(ctx context.Context, running *system.System, data string, start time.Time, out io.Writer) error {
	file := describe(running, data, start)
	if err := stackfile.Write(data, file); err != nil {
		return err
	}
	announce(out, file, time.Since(start))
	select {
	case err := <-running.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func describe(running *system.System, data string, start time.Time) stackfile.File {
	file := stackfile.File{
		PID: os.Getpid(), Started: start.UTC(), Data: data, API: running.URL,
		Postgres:          running.Servers.AdminURL.Reveal(),
		AMQP:              running.Servers.AMQPURL.Reveal(),
		Management:        running.Servers.ManagementURL.Reveal(),
		Certificates:      running.Certificates,
		AdminPasswordFile: running.AdminPassword,
		S3: stackfile.S3{
			Endpoint: running.Servers.S3.Endpoint, Region: running.Servers.S3.Region,
			AccessKey: running.Servers.S3.AccessKey, SecretKey: running.Servers.S3.SecretKey.Reveal(),
		},
		Databases: map[string]string{},
		Services:  map[string]stackfile.Service{},
	}
	for _, server := range running.Servers.Servers() {
		file.Servers = append(file.Servers, stackfile.Server(server))
	}
	for name, address := range running.Databases {
		file.Databases[name] = address.Reveal()
	}
	for name, address := range running.Services {
		pid := running.PIDs[name]
		if pid == 0 {
			pid = file.PID // inside this process
		}
		file.Services[name] = stackfile.Service{Address: address, PID: pid, Metrics: running.Metrics[name]}
	}
	return file
}

// announce tells where everything is. Passwords stand in files only.
func announce(out io.Writer, file stackfile.File, took time.Duration) {
	say(out, "\nMuster is up (%.1f s): %s. Ctrl-C stops it.", took.Seconds(), file.API)
	var lines []string
	for _, server := range file.Servers {
		lines = append(lines, fmt.Sprintf("  %-12s %s", server.Name, server.Address))
	}
	for name, service := range file.Services {
		lines = append(lines, fmt.Sprintf("  %-12s %-17s metrics at http://%s/metrics", name, service.Address, service.Metrics))
	}
	slices.Sort(lines)
	for _, line := range lines {
		say(out, "%s", line)
	}
	say(out, "All addresses, with passwords:   %s", filepath.Join(file.Data, stackfile.Name))
	say(out, "One-time password of \"admin\":    %s", file.AdminPasswordFile)
	say(out, "A first call:\n  curl -s %s/muster.v1.HealthService/Ping -H 'Content-Type: application/json' -d '{}'", file.API)
}

func say(out io.Writer, format string, arguments ...any) {
	// A terminal that is gone must not stop anything.
	_, _ = fmt.Fprintf(out, format+"\n", arguments...)
}
