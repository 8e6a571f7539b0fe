package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/muster/internal/operator"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

type projections struct {
	List     projectionList     `cmd:"" help:"Show how each projection is, and what is being done with it."`
	Rebuild  projectionRebuild  `cmd:"" help:"Make a projection's rows anew from the events, while the present ones serve, and let the new ones serve."`
	Verify   projectionVerify   `cmd:"" help:"Make the rows anew and show each one that serves and differs; exit status 1 if there is one."`
	Cancel   projectionCancel   `cmd:"" help:"Give up the rebuild or verification that is under way."`
	Rollback projectionRollback `cmd:"" help:"Let the rows before the last rebuild serve again. They have been kept up to date."`
	Drop     projectionDrop     `cmd:"" help:"Delete the rows before the last rebuild."`
}

// answered is how a command answers.
type answered struct {
	JSON bool `help:"Answer in JSON, one object a line."`
}

// answer writes a message in JSON, or what words says of it.
func (a answered) answer(out io.Writer, message proto.Message, words func() error) error {
	if a.JSON {
		return writeJSON(out, message)
	}
	return words()
}

// named is a command on one projection.
type named struct {
	Name string `arg:"" help:"Name of the projection, as \"list\" shows it."`
	answered
	place
}

// ordinal is a number that counts from 1: of a generation, or of an event in its
// stream. It is 0 where none is given.
type ordinal int64

// Validate refuses a number that was given and that nothing has.
func (n ordinal) Validate() error {
	if n < 1 {
		return errors.New("the numbers begin with 1")
	}
	return nil
}

// do opens the place, finds the projection and works on it.
func (c named) do(ctx context.Context, work func(*operator.Projection) error) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	projection, err := client.Projection(ctx, c.Name)
	if err != nil {
		return err
	}
	return work(projection)
}

type projectionList struct {
	Name string `arg:"" optional:"" help:"This projection only."`
	answered
	place
}

// Run shows those of all services that answer, and fails where one does not.
func (c *projectionList) Run(streams streams) error {
	client, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := untilInterrupted()
	defer stop()
	all, missing := c.look(ctx, client)
	if all == nil { // there is no such projection
		return missing
	}
	return errors.Join(c.answer(streams.out, all, func() error { return writeProjections(streams.out, all.GetProjections(), time.Now()) }), missing)
}

// look gives all, or the one that is named.
func (c *projectionList) look(ctx context.Context, client *operator.Client) (*musterv1.ListProjectionsResponse, error) {
	if c.Name == "" {
		return client.Projections(ctx)
	}
	projection, err := client.Projection(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	seen, err := projection.Look(ctx)
	if err != nil {
		return nil, err
	}
	return &musterv1.ListProjectionsResponse{Projections: []*musterv1.Projection{seen}}, nil
}

// waiting is how long a command stays with what it began.
type waiting struct {
	Detach bool `help:"Return once it is begun. \"list\" tells how far it is."`
}

type projectionRebuild struct {
	named
	waiting
}

// Run rebuilds, and by default waits for the end. Ctrl-C gives the rebuild up.
func (c *projectionRebuild) Run(streams streams) error {
	return c.operate(streams, c.named, (*operator.Projection).Rebuild)
}

type projectionVerify struct {
	named
	waiting
}

// Run verifies, and by default waits for the end: status 1 when a row differs.
// Ctrl-C gives the verification up.
func (c *projectionVerify) Run(streams streams) error {
	return c.operate(streams, c.named, (*operator.Projection).Verify)
}

// operate begins an operation and waits for its end.
func (c waiting) operate(streams streams, on named, begin func(*operator.Projection, context.Context) (*musterv1.Operation, error)) error {
	ctx, stop := untilInterrupted()
	defer stop()
	err := on.do(ctx, func(projection *operator.Projection) error {
		// Cut off here, nobody would know whether it was begun.
		begun, err := begin(projection, context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if c.Detach {
			return detached(streams, on, begun)
		}
		return follow(ctx, streams, on, projection, begun)
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitError(statusInterrupted) // before anything was begun
	}
	return err
}

// detached tells what was begun.
func detached(streams streams, on named, begun *musterv1.Operation) error {
	if on.JSON {
		return writeJSON(streams.out, begun)
	}
	_, err := fmt.Fprintf(streams.out, "%s has begun. To see how far it is: muster projection list%s. To give it up: muster projection cancel %s%s\n",
		title(begun), on.again(), on.Name, on.again())
	return err
}

type projectionCancel struct{ named }

// Run gives up what is under way, whoever began it, and waits until it is gone.
func (c *projectionCancel) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	return c.do(ctx, func(projection *operator.Projection) error {
		seen, err := projection.Look(ctx)
		if err != nil {
			return err
		}
		if !running(seen.GetOperation()) {
			// The service says it better, and knows whether it is still so.
			return projection.Cancel(ctx)
		}
		return giveUp(ctx, streams, c.named, projection, seen.GetOperation())
	})
}

type projectionRollback struct {
	named
	Generation ordinal `help:"The generation that is to serve again, as \"list\" shows it: so that no other one does." placeholder:"N"`
}

// Run lets the former generation serve.
func (c *projectionRollback) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	return c.do(ctx, func(projection *operator.Projection) error {
		answer, err := projection.Rollback(context.WithoutCancel(ctx), int64(c.Generation))
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(streams.out, answer)
		}
		_, err = fmt.Fprintf(streams.out, "%s: generation %d serves again. The other one is kept up to date: `muster projection rollback %s%s` goes back to it\n",
			c.Name, answer.GetGeneration(), c.Name, c.again())
		return err
	})
}

type projectionDrop struct {
	named
	Generation ordinal `help:"The generation that is to be deleted, as \"list\" shows it: so that no other one is." placeholder:"N"`
}

// Run begins to delete the former generation.
func (c *projectionDrop) Run(streams streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	return c.do(ctx, func(projection *operator.Projection) error {
		answer, err := projection.Drop(context.WithoutCancel(ctx), int64(c.Generation))
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(streams.out, answer)
		}
		_, err = fmt.Fprintf(streams.out, "%s: generation %d is being deleted\n", c.Name, answer.GetGeneration())
		return err
	})
}
