package status

import (
	"context"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
)

// Answers makes the probe of something that either answers or does not.
func Answers(ask func(context.Context) error) Probe {
	return func(ctx context.Context) (State, string, error) {
		if err := ask(ctx); err != nil {
			return Down, "does not answer", err
		}
		return Up, "", nil
	}
}

// Service makes the probe of another service, by its gRPC health.
func Service(health grpchealth.Checker) Probe {
	return func(ctx context.Context) (State, string, error) {
		got, err := health.Check(ctx, &grpchealth.CheckRequest{})
		switch {
		case err != nil && connect.CodeOf(err) == connect.CodeUnimplemented:
			return Up, "", nil // it answers, and has no more to say about its health
		case err != nil:
			return Down, "does not answer", err
		case got.Status != grpchealth.StatusServing:
			return Degraded, "not ready", nil
		}
		return Up, "", nil
	}
}
