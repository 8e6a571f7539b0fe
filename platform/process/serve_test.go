package process_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilTold(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Calls under way may need the parts, so these go on until the server has ended.
func TestPartsEndAfterTheServer(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	partOf, ended := make(chan context.Context, 1), false
	err := process.Serve(ctx, func(ctx context.Context) error {
		part := <-partOf
		stop()
		<-ctx.Done()
		if part.Err() != nil {
			t.Error("the part was told to end while the server drained")
		}
		return nil
	}, func(ctx context.Context) error {
		partOf <- ctx
		<-ctx.Done()
		ended = true
		return nil
	})
	if err != nil || !ended {
		t.Errorf("the part ended: %v, the error is %v", ended, err)
	}
}

// A part that ends early, with an error or without, takes server and parts along.
func TestAPartThatEndsEndsAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for ending, want := range map[error]error{nil: process.ErrEndedEarly, broken: broken} {
		err := process.Serve(t.Context(), untilTold, untilTold, func(context.Context) error { return ending })
		if !errors.Is(err, want) {
			t.Errorf("the error is %v, want %v", err, want)
		}
	}
}

// A server that fails ends the parts, and no error hides another.
func TestAServerThatFailsEndsAll(t *testing.T) {
	t.Parallel()
	server, part := errors.New("server"), errors.New("part")
	err := process.Serve(t.Context(), func(context.Context) error { return server }, func(ctx context.Context) error {
		<-ctx.Done()
		return part
	})
	if !errors.Is(err, server) || !errors.Is(err, part) {
		t.Errorf("the error is %v", err)
	}
}
