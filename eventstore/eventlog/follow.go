package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// silence is three times what FollowLog promises: then the service is taken for
// lost, whatever the connection says.
const silence = 30 * time.Second

var errSilent = errors.New("the service says nothing")

// Following says which events to follow, and from where on.
type Following struct {
	// Filter chooses them.
	Filter eventstore.Filter
	// After is where to go on; empty for the beginning.
	After eventstore.Cursor
	// FromNow begins at the present head, with no event of before; After says
	// nothing then.
	FromNow bool
	// Limit is how many events a page holds at most, up to 5000; 500 if 0.
	Limit int
	// Lost is told each time the service is lost, and why: nil where it said that
	// it stops. May be nil itself.
	Lost func(error)
}

// Follow hands over the events as they come, page by page, until ctx ends or
// handle fails, and gives that error. A page without events tells that the log is
// there, and its Next is as good to go on from. The next page is taken when
// handle returns. Where the service is lost, Follow goes on after the last page
// that was handled, as soon as the service is back: no event is left out, and
// none comes twice.
//
// Errors besides: eventstore.ErrCursorInvalid, eventstore.ErrEpochChanged, and
// what the service refuses for good.
func (c *Client) Follow(ctx context.Context, what Following, handle func(context.Context, eventstore.Page) error) error {
	var retry backoff.Backoff
	for {
		began := time.Now()
		over, err := c.followOnce(ctx, &what, handle)
		switch {
		case over:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("follow log: %w", ctx.Err())
		case isRefusal(err):
			return fmt.Errorf("follow log: %w", fromError(err))
		}
		if what.Lost != nil {
			what.Lost(err)
		}
		retry.Worked(began)
		if err := retry.Pause(ctx); err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
	}
}

// followOnce follows until the service is lost, and keeps in what how far it has
// come. It is over where handle has failed.
func (c *Client) followOnce(ctx context.Context, what *Following, handle func(context.Context, eventstore.Page) error) (over bool, err error) {
	call, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	heard := time.AfterFunc(silence, func() { cut(errSilent) })
	defer heard.Stop()
	stream, err := c.service.FollowLog(call, connect.NewRequest(&eventlogv1.FollowLogRequest{
		Cursor: string(what.After), FromNow: what.FromNow, Filter: fromFilter(what.Filter), Limit: bounded(what.Limit),
	}))
	if err != nil {
		return false, lostBy(call, err)
	}
	defer func() {
		cut(nil) // else Close waits for the end of what is on its way
		_ = stream.Close()
	}()
	for stream.Receive() {
		heard.Stop() // handle takes the time that it takes
		page, err := toPage(stream.Msg())
		if err != nil {
			return true, fmt.Errorf("follow log: %w", err)
		}
		if err := handle(ctx, page); err != nil {
			return true, err
		}
		what.After, what.FromNow = page.Next, false
		heard.Reset(silence)
	}
	return false, lostBy(call, stream.Err())
}

// lostBy tells silence from what it looks like once the call is cut.
func lostBy(call context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(call), errSilent) {
		return errSilent
	}
	return err
}

// isRefusal tells what the same call would be answered again.
func isRefusal(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeUnimplemented:
		return true
	}
	return false
}
