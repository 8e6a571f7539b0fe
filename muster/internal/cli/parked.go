package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/muster-id/muster/muster/internal/operator"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

type parked struct {
	List  parkedList  `cmd:"" help:"Show the events that could not be applied; with --skipped, those that were left out."`
	Show  parkedShow  `cmd:"" help:"Show one of them, with what it says."`
	Retry parkedRetry `cmd:"" help:"Apply a parked event and all that wait behind it."`
	Skip  parkedSkip  `cmd:"" help:"Leave a parked event out for good, for a reason that is kept, and apply what waits behind it."`
}

type parkedList struct {
	Projection string `arg:"" optional:"" help:"Of this projection only."`
	Skipped    bool   `help:"Those that were left out, the last one first: by whom, and why."`
	answered
	place
}

// Run shows those of all services that answer, and fails where one does not.
func (c *parkedList) Run(streams streams) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := untilInterrupted()
	defer stop()
	if c.Skipped {
		all, missing := client.SkippedEvents(ctx, c.Projection)
		if all == nil { // there is no such projection
			return missing
		}
		return errors.Join(c.answer(streams.out, all, func() error { return writeSkipped(streams.out, all.GetEvents()) }), missing)
	}
	all, missing := client.ParkedEvents(ctx, c.Projection)
	if all == nil {
		return missing
	}
	return errors.Join(c.answer(streams.out, all, func() error { return writeParked(streams.out, all.GetEvents(), time.Now()) }), missing)
}

// What Validate refuses.
var (
	errWhichStream = errors.New("name the stream, or the projection and the stream")
	errRetryWhich  = errors.New("name the stream, or the projection and the stream; or --all, which tries each one")
	errAllAndOne   = errors.New("--all goes with a projection or with nothing: each of its streams is tried")
)

// stream is a stream that waits.
type stream struct {
	Of []string `arg:"" name:"stream" help:"PROJECTION STREAM, or the stream alone where one projection has it parked."`
	answered
	place
}

// Validate refuses arguments that name no stream.
func (c stream) Validate() error {
	if len(c.Of) > 2 {
		return errWhichStream
	}
	return c.place.Validate() // which this one hides
}

// do finds the projection and works on the stream.
func (c stream) do(ctx context.Context, work func(of *operator.Projection, stream string) error) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	var of *operator.Projection
	if len(c.Of) == 1 {
		of, err = client.Parker(ctx, c.Of[0])
	} else {
		of, err = client.Projection(ctx, c.Of[0])
	}
	if err != nil {
		return err
	}
	return work(of, c.Of[len(c.Of)-1])
}

type parkedShow struct{ stream }

// Run shows the event as far as it is not sealed.
func (c *parkedShow) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	return c.do(ctx, func(of *operator.Projection, stream string) error {
		shown, err := of.ParkedEvent(ctx, stream)
		if err != nil {
			return err
		}
		return c.answer(streams.out, shown, func() error { return writeParkedEvent(streams.out, shown, time.Now()) })
	})
}

type parkedRetry struct {
	All bool     `help:"All that are parked; of one projection if it is named."`
	Of  []string `arg:"" optional:"" name:"stream" help:"PROJECTION STREAM, or the stream alone where one projection has it parked; with --all PROJECTION or nothing."`
	answered
	place
}

// Validate refuses arguments that do not say what to try.
func (c *parkedRetry) Validate() error {
	switch {
	case c.All && len(c.Of) > 1:
		return errAllAndOne
	case !c.All && (len(c.Of) == 0 || len(c.Of) > 2):
		return errRetryWhich
	}
	return c.place.Validate()
}

// Run tries again. Its status is 1 when a stream waits still.
func (c *parkedRetry) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	if c.All {
		return c.all(ctx, streams)
	}
	one := stream{Of: c.Of, answered: c.answered, place: c.place}
	return one.do(ctx, func(of *operator.Projection, stream string) error {
		applied, err := c.retry(ctx, streams, of, stream)
		if err == nil && !applied {
			return exitError(1)
		}
		return err
	})
}

// retry tries one stream again, and tells whether all of it is applied.
func (c *parkedRetry) retry(ctx context.Context, streams streams, of *operator.Projection, stream string) (bool, error) {
	answer, err := of.Retry(context.WithoutCancel(ctx), stream)
	if err != nil {
		return false, err
	}
	if c.JSON {
		return answer.GetParked() == nil, writeJSON(streams.out, answer)
	}
	_, err = fmt.Fprintf(streams.out, "%s: %s applied\n", clean(of.Name()+" "+stream), amount(answer.GetApplied(), "event"))
	return answer.GetParked() == nil, errors.Join(err, stillParked(streams.out, answer.GetParked()))
}

// all tries each stream once, and goes on where one fails. As lists are bounded
// it asks for another one until nothing new stands in it.
func (c *parkedRetry) all(ctx context.Context, streams streams) error {
	projection := ""
	if len(c.Of) == 1 {
		projection = c.Of[0]
	}
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	type waits struct{ projection, stream string }
	tried := map[waits]bool{}
	failed := 0
	for {
		listed, missing := client.ParkedEvents(ctx, projection)
		if listed == nil {
			return missing
		}
		fresh := 0
		for _, event := range listed.GetEvents() {
			if ctx.Err() != nil {
				return exitError(statusInterrupted)
			}
			this := waits{event.GetProjection(), event.GetStream()}
			if tried[this] {
				continue
			}
			tried[this] = true
			fresh++
			applied, err := c.retryListed(ctx, streams, client, event)
			if err != nil {
				say(streams.err, "%s: %v", clean(event.GetProjection()+" "+event.GetStream()), err)
			}
			if err != nil || !applied {
				failed++
			}
		}
		if fresh == 0 {
			return c.sumUp(streams, len(tried), failed, len(listed.GetEvents()) >= operator.Listed, missing)
		}
	}
}

func (c *parkedRetry) retryListed(ctx context.Context, streams streams, client *operator.Client, event *musterv1.ParkedEvent) (bool, error) {
	of, err := client.Of(event.GetService(), event.GetProjection())
	if err != nil {
		return false, err
	}
	return c.retry(ctx, streams, of, event.GetStream())
}

func (c *parkedRetry) sumUp(streams streams, tried, failed int, full bool, missing error) error {
	if !c.JSON {
		say(streams.out, "%s tried, %s parked still", amount(int64(tried), "stream"), count(int64(failed)))
	}
	if full {
		say(streams.err, "more may be parked: they are listed, and tried, once these are applied or skipped")
	}
	if missing == nil && failed > 0 {
		return exitError(1)
	}
	return missing
}

type parkedSkip struct {
	stream
	Version ordinal `help:"The event's version, as \"list\" shows it: so that no other one is skipped." required:"" placeholder:"N"`
	Reason  motive  `help:"Why, in 3 to 500 characters; for whoever asks later." required:"" placeholder:"TEXT"`
}

// motive is why somebody leaves an event out.
type motive string

// The lengths of a motive, in characters, as the services bound it.
const (
	shortestMotive = 3
	longestMotive  = 500
)

// Validate refuses one that says nothing, or too much.
func (m motive) Validate() error {
	if length := utf8.RuneCountInString(string(m)); length < shortestMotive || length > longestMotive {
		return fmt.Errorf("it takes %d to %d characters, and these are %d", shortestMotive, longestMotive, length)
	}
	return nil
}

// Run leaves the event out. Its status is 1 when the stream waits still, behind
// another event.
func (c *parkedSkip) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	return c.do(ctx, func(of *operator.Projection, stream string) error {
		answer, err := of.Skip(context.WithoutCancel(ctx), stream, int64(c.Version), string(c.Reason))
		if err != nil {
			return err
		}
		if c.JSON {
			err = writeJSON(streams.out, answer)
		} else {
			_, err = fmt.Fprintf(streams.out, "%s: version %d is left out, %s behind it applied\n",
				clean(of.Name()+" "+stream), c.Version, amount(answer.GetApplied(), "event"))
			err = errors.Join(err, stillParked(streams.out, answer.GetParked()))
		}
		if err == nil && answer.GetParked() != nil {
			return exitError(1)
		}
		return err
	})
}

// stillParked tells of the event that failed next, if one did.
func stillParked(out io.Writer, next *musterv1.ParkedEvent) error {
	if next == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "  version %d could not be applied, and is parked: %s\n", next.GetVersion(), clean(next.GetProblem()))
	return err
}
