package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/muster-id/muster/muster/internal/cli"
)

// measurement is a question, and the function that answers it into the report.
type measurement struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

// measurements in the order in which they run: those that need RabbitMQ last,
// so that it never disturbs the others.
func measurements() []measurement {
	return []measurement{
		{"append", measureAppend},
		{"growth", measureGrowth},
		{"rebuild", measureRebuild},
		{"storage", measureStorage},
		{"backlog", measureBacklog},
		{"lag", measureLag},
		{"live", measureLive},
		{"register", measureRegister},
		{"locks", measureLocks},
	}
}

// bench is one run.
type bench struct {
	Only    []string `help:"Measure these alone: ${names}." placeholder:"NAME"`
	Sizes   []int    `help:"Events in the log, ascending." default:"10000,100000,1000000"`
	Runs    int      `help:"Rounds; figures are their medians." default:"5"`
	Quick   bool     `help:"One round of the two smallest sizes, to see that all works: no figures to quote."`
	Data    string   `help:"Keep the filled databases in this directory, and begin with those that are there." placeholder:"DIR"`
	Out     string   `help:"Write the page to this file, and its plots into a folder beside it." placeholder:"FILE"`
	Profile string   `help:"Put CPU profiles of credentials and identity, one a rebuild, into this folder." placeholder:"DIR"`

	progress io.Writer
	began    time.Time
	keep     bool
	world    *world
	// people that the log was filled with.
	people int
	report report
}

func main() {
	// What the system starts as processes of its own is this program.
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "s3") {
		go profileOnSignal()
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what the arguments ask for. The table goes to out, progress to
// progress.
func run(arguments []string, out, progress io.Writer) (err error) {
	b := &bench{progress: progress, began: time.Now()}
	parser, err := kong.New(b, kong.Name("bench"), kong.Description("Measure Muster against limits and rivals of the same run."),
		kong.Vars{"names": strings.Join(names(), ", ")})
	if err != nil {
		return err
	}
	if _, err := parser.Parse(arguments); err != nil {
		return err
	}
	chosen, err := b.chosen()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer func() { err = errors.Join(err, b.close(), b.clear()) }()
	for _, m := range chosen {
		if err := m.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if err := b.describe(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(out, b.report.markdown()); err != nil {
		return err
	}
	if b.Out == "" {
		return nil
	}
	return b.report.save(b.Out)
}

func names() []string {
	var all []string
	for _, m := range measurements() {
		all = append(all, m.name)
	}
	return all
}

// chosen are the measurements that are asked for; it brings the options into
// order.
func (b *bench) chosen() ([]measurement, error) {
	for _, name := range b.Only {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("--only %s: there are %s", name, strings.Join(names(), ", "))
		}
	}
	slices.Sort(b.Sizes)
	if b.Quick {
		b.Runs, b.Sizes = 1, b.Sizes[:min(len(b.Sizes), 2)]
	}
	if b.Runs < 1 || len(b.Sizes) == 0 || b.Sizes[0] < eventsEach {
		return nil, fmt.Errorf("--runs has to be 1 or more, and --sizes %d or more", eventsEach)
	}
	b.keep = b.Data != ""
	if !b.keep {
		dir, err := os.MkdirTemp("", "muster-bench-")
		if err != nil {
			return nil, err
		}
		b.Data = dir
	}
	var err error
	if b.Data, err = filepath.Abs(b.Data); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(measurements(), func(m measurement) bool { return len(b.Only) > 0 && !slices.Contains(b.Only, m.name) }), nil
}

// say tells how far the run is.
func (b *bench) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(b.progress, "%6.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, arguments...))
}
