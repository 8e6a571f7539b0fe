package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"github.com/muster-id/muster/eventstore/backoff"
)

// The services run as processes of this program's own (`bench serve NAME`), so
// that each has its memory to itself, and so that they can be profiled without
// a port for it in the services: a SIGUSR1 begins a CPU profile, the next one
// ends it.

// profileOf is where a process leaves its profile.
func profileOf(pid int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("muster-bench-%d.pprof", pid))
}

// profileOnSignal runs for as long as the process.
func profileOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for {
		<-asked
		if err := profile(profileOf(os.Getpid()), asked); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}
}

// profile goes on until it is asked to stop. The file is there when it is whole.
func profile(path string, stop <-chan os.Signal) (err error) {
	unfinished := path + ".unfinished"
	file, err := os.Create(unfinished) //nolint:gosec // a path of ours
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err == nil {
			err = os.Rename(unfinished, path)
		}
	}()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	<-stop
	pprof.StopCPUProfile()
	return nil
}

// profiled has services profiled while do runs, and puts the profiles into a
// folder; without one it only runs do.
func (b *bench) profiled(ctx context.Context, w *world, name string, do func() error) error {
	if b.Profile == "" {
		return do()
	}
	services := []string{"credentials", "identity"}
	for _, service := range services {
		if err := syscall.Kill(w.PIDs[service], syscall.SIGUSR1); err != nil {
			return fmt.Errorf("profile %s: %w", service, err)
		}
	}
	err := do()
	for _, service := range services {
		pid := w.PIDs[service]
		if failed := syscall.Kill(pid, syscall.SIGUSR1); failed != nil {
			return errors.Join(err, failed)
		}
		err = errors.Join(err, fetch(ctx, profileOf(pid), filepath.Join(b.Profile, name+"-"+service+".pprof")))
	}
	return err
}

// fetch moves a file once it is there.
func fetch(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		content, err := os.ReadFile(from) //nolint:gosec // a path of ours
		if err == nil {
			return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644), os.Remove(from)) //nolint:gosec // no secret is in it
		}
		if backoff.Sleep(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// resetPeak forgets the greatest memory that a process has had (Linux: proc(5),
// clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peak is the greatest resident memory that a process has had since, in bytes.
func peak(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kibibytes, err := strconv.ParseFloat(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 64)
			return kibibytes * 1024, err
		}
	}
	return 0, errors.New("the process tells no VmHWM")
}

// ticks a second, in which Linux counts the time of processes for everybody.
const ticks = 100

// used is the processor time that parts of the system have taken, in seconds.
type used struct{ credentials, identity, media, postgres, rabbitMQ, load float64 }

// uses tells what they have taken so far.
func (w *world) uses() (used, error) {
	var u used
	var errs []error
	take := func(to *float64, of func(int) (float64, error), pid int) {
		took, err := of(pid)
		*to = took
		errs = append(errs, err)
	}
	alone := func(pid int) (float64, error) {
		took, _, err := usedBy(pid)
		return took, err
	}
	take(&u.credentials, alone, w.PIDs["credentials"])
	take(&u.identity, alone, w.PIDs["identity"])
	take(&u.media, alone, w.PIDs["media"])
	take(&u.load, alone, os.Getpid())
	for _, server := range w.Servers.Servers() {
		switch server.Name {
		case "PostgreSQL":
			take(&u.postgres, usedByFamily, server.PID)
		case "RabbitMQ":
			take(&u.rabbitMQ, usedByFamily, server.PID)
		}
	}
	return u, errors.Join(errs...)
}

func (u used) since(before used) used {
	return used{
		u.credentials - before.credentials, u.identity - before.identity, u.media - before.media,
		u.postgres - before.postgres, u.rabbitMQ - before.rabbitMQ, u.load - before.load,
	}
}

func (u used) String() string {
	return fmt.Sprintf("credentials %s, identity %s, media %s, PostgreSQL %s, RabbitMQ %s, the load %s",
		seconds(u.credentials), seconds(u.identity), seconds(u.media), seconds(u.postgres), seconds(u.rabbitMQ), seconds(u.load))
}

func (u used) sum() float64 {
	return u.credentials + u.identity + u.media + u.postgres + u.rabbitMQ + u.load
}

// usedBy is the time of a process and of its children that have ended, and who
// its parent is.
func usedBy(pid int) (took float64, parent int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// After the name, which may hold anything: state, parent, …
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, 0, errors.New("the process tells no times")
	}
	parent, err = strconv.Atoi(string(fields[1]))
	for _, field := range fields[11:15] {
		n, failed := strconv.ParseFloat(string(field), 64)
		took, err = took+n/ticks, errors.Join(err, failed)
	}
	return took, parent, err
}

// usedByFamily is the time of a process and its children.
func usedByFamily(pid int) (float64, error) {
	total, _, err := usedBy(pid)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // no process
		}
		if took, parent, err := usedBy(child); err == nil && parent == pid { // others come and go
			total += took
		}
	}
	return total, nil
}
