package process

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// ErrEndedEarly: a part has ended without an error, and was not told to.
var ErrEndedEarly = errors.New("a part has ended before it was told to")

// Serve runs a server until ctx ends, and beside it the parts behind it. They
// are told to end only once the server has: calls under way may need them. A part
// that ends before it is told to takes the server with it, and so all. The error
// is the server's joined with the first of the parts'; ErrEndedEarly where a part
// gives no reason.
func Serve(ctx context.Context, server func(context.Context) error, parts ...func(context.Context) error) error {
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	var group errgroup.Group
	for _, part := range parts {
		group.Go(func() error {
			defer stopServing()
			err := part(working)
			if err == nil && working.Err() == nil {
				err = ErrEndedEarly
			}
			return err
		})
	}
	err := server(serving)
	stopWorking()
	return errors.Join(err, group.Wait())
}
