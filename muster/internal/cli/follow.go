package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/muster-id/muster/muster/internal/operator"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// statusInterrupted is what a shell gives for a program that Ctrl-C has ended.
const statusInterrupted = 130

// untilInterrupted gives a context that ends with the first Ctrl-C or SIGTERM;
// the second ends the process at once. A terminal that closes is none: what
// runs in the services outlives a connection that is lost.
func untilInterrupted() (ctx context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// follow shows an operation until it has ended, and gives it up when ctx ends.
func follow(ctx context.Context, streams streams, on named, projection *operator.Projection, begun *musterv1.Operation) error {
	view := newView(streams, on.JSON)
	view.begin(begun)
	seen, err := projection.Watch(ctx, begun, view)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		view.say("giving it up; Ctrl-C once more leaves without waiting for that")
		seen, err = projection.GiveUp(context.WithoutCancel(ctx), begun, view)
	}
	view.end()
	if err != nil {
		return err
	}
	if err := writeOutcome(streams, on, seen); err != nil {
		return err
	}
	return exitOf(seen.GetOperation(), ctx.Err() != nil)
}

// giveUp ends an operation, whoever began it, and tells what has become of it.
// That it ended by itself meanwhile is a failure.
func giveUp(ctx context.Context, streams streams, on named, projection *operator.Projection, operation *musterv1.Operation) error {
	view := newView(streams, on.JSON)
	seen, err := projection.GiveUp(ctx, operation, view)
	view.end()
	if err != nil {
		return err
	}
	if err := writeOutcome(streams, on, seen); err != nil {
		return err
	}
	if seen.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_CANCELLED {
		return exitError(1)
	}
	return nil
}

// exitOf is the exit status of whoever has waited for an operation.
func exitOf(ended *musterv1.Operation, interrupted bool) error {
	switch {
	case ended.GetState() == musterv1.OperationState_OPERATION_STATE_CANCELLED && interrupted:
		return exitError(statusInterrupted)
	case ended.GetState() != musterv1.OperationState_OPERATION_STATE_DONE, ended.GetVerification().GetDiffering() > 0:
		return exitError(1)
	}
	return nil
}
