package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// describe tells what the figures depend on.
func (b *bench) describe(ctx context.Context) error {
	facts := []string{
		fmt.Sprintf("%s, %d cores shared by servers, services and load; %s", processor(), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH),
		fmt.Sprintf("%s, %s, %d rounds", time.Now().UTC().Format(time.DateOnly), revision(), b.Runs),
		"each service a process of its own; PostgreSQL with its defaults, every commit on disk",
	}
	if b.Quick {
		facts = append(facts, "`--quick`: to see that it works, not to quote")
	}
	if w := b.world; w != nil {
		conn, err := w.asAdmin(ctx, "identity")
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
		var version string
		var events int64
		var table, indexes float64
		err = conn.QueryRow(ctx, `
			SELECT current_setting('server_version'), (SELECT count(*) FROM log.events),
			       pg_table_size('log.events'), pg_indexes_size('log.events')`).Scan(&version, &events, &table, &indexes)
		if err != nil {
			return fmt.Errorf("describe the log: %w", err)
		}
		facts = append(facts, fmt.Sprintf("PostgreSQL %s, %s", version, runtime.Version()),
			fmt.Sprintf("the log: %d events a person, sealed, spread as commands() in muster/bench/population.go says; %.0f bytes an event in the table, %.0f in its indexes",
				eventsEach, table/float64(events), indexes/float64(events)))
	}
	b.report.facts = facts
	return nil
}

// processor names the machine's; its architecture where that cannot be read.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// revision is the commit that was built.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	found, changed := "unknown commit", ""
	if info == nil {
		return found
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			found = "commit " + setting.Value[:min(len(setting.Value), 12)]
		case "vcs.modified":
			if setting.Value == "true" {
				changed = " with changes"
			}
		}
	}
	return found + changed
}
