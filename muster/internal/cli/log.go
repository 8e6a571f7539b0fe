package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

type logs struct {
	Status logStatus `cmd:"" help:"Show each event log and its epochs: when it was restored or failed over, and what was seen of it."`
	Rebase logRebase `cmd:"" help:"Begin a new epoch of a log that was set back in a way nobody could notice: cursors and consistency tokens are refused from then on, and every projection is made anew."`
}

type logStatus struct {
	answered
	place
}

// Run shows those of all services that answer, and fails where one does not.
func (c *logStatus) Run(streams streams) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := untilInterrupted()
	defer stop()
	told, missing := client.Logs(ctx)
	for _, log := range told {
		if err := c.answer(streams.out, log, func() error { return writeLog(streams.out, log) }); err != nil {
			return err
		}
	}
	return missing
}

type logRebase struct {
	Log    string `arg:"" help:"Name of the log: identity or media."`
	Reason string `required:"" help:"Why, for whoever looks at the log's epochs later." placeholder:"WHY"`
	answered
	place
}

// errNoReason refuses a reason that says nothing.
var errNoReason = errors.New("--reason has to say why: it is kept with the epoch")

// Validate refuses an empty reason.
func (c *logRebase) Validate() error {
	if strings.TrimSpace(c.Reason) == "" {
		return errNoReason
	}
	return c.place.Validate()
}

// Run begins the epoch.
func (c *logRebase) Run(streams streams) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := untilInterrupted()
	defer stop()
	begun, err := client.RebaseLog(ctx, c.Log, c.Reason)
	if err != nil {
		return err
	}
	return c.answer(streams.out, begun, func() error {
		_, err := fmt.Fprintf(streams.out, "%s is in epoch %d now. Every projection made from it is made anew: `muster projection list%s` shows how far they are\n",
			c.Log, begun.GetEpoch(), c.again())
		return err
	})
}

// writeLog shows a log and its epochs, the present one first.
func writeLog(out io.Writer, log *eventlogv1.DescribeLogResponse) error {
	last := "no event yet"
	if at := log.GetLastEventAt(); at != nil {
		last = "last event at " + at.AsTime().Format(time.RFC3339)
	}
	if _, err := fmt.Fprintf(out, "%s: offset %d, %s\n", log.GetLog(), log.GetLastOffset(), last); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, epoch := range log.GetEpochs() {
		after := "from the first event on"
		if epoch.GetLastOffset() > 0 {
			after = fmt.Sprintf("after offset %d", epoch.GetLastOffset())
		}
		if _, err := fmt.Fprintf(table, "  epoch %d\t%s\t%s\t%s\n", epoch.GetEpoch(), epoch.GetBeganAt().AsTime().Format(time.RFC3339), after, epoch.GetReason()); err != nil {
			return err
		}
	}
	return table.Flush()
}
