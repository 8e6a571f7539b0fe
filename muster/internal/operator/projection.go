package operator

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// beginBound is for what a service does in one short transaction, which may
	// have to wait for another.
	beginBound = 30 * time.Second
	// applyBound is for applying a stream's events, however many wait: as long as
	// a service lets a call take.
	applyBound = time.Minute
)

// Projection is one projection of a service. Its errors are *ServiceError,
// unless they say otherwise. It is safe for concurrent use.
type Projection struct {
	name, service   string
	client          projectionv1connect.ProjectionServiceClient
	pause, patience time.Duration
}

// Name is its name.
func (p *Projection) Name() string { return p.name }

// Look tells how it is.
func (p *Projection) Look(ctx context.Context) (*musterv1.Projection, error) {
	listed, err := call(ctx, p, beginBound, p.client.ListProjections, &musterv1.ListProjectionsRequest{})
	if err != nil {
		return nil, err
	}
	for _, each := range listed.GetProjections() {
		if each.GetName() == p.name {
			return each, nil
		}
	}
	return nil, from(p.service, ErrNoProjection)
}

// Rebuild begins a rebuild.
func (p *Projection) Rebuild(ctx context.Context) (*musterv1.Operation, error) {
	answer, err := call(ctx, p, beginBound, p.client.RebuildProjection, &musterv1.RebuildProjectionRequest{Name: p.name})
	return answer.GetOperation(), err
}

// Verify begins a verification.
func (p *Projection) Verify(ctx context.Context) (*musterv1.Operation, error) {
	answer, err := call(ctx, p, beginBound, p.client.VerifyProjection, &musterv1.VerifyProjectionRequest{Name: p.name})
	return answer.GetOperation(), err
}

// Cancel asks for the end of what is under way; GiveUp waits for it.
func (p *Projection) Cancel(ctx context.Context) error {
	_, err := call(ctx, p, beginBound, p.client.CancelOperation, &musterv1.CancelOperationRequest{Name: p.name})
	return err
}

// Rollback lets the former generation serve, and gives its number. It is refused
// where that is another one than asked for; 0 is whichever it is.
func (p *Projection) Rollback(ctx context.Context, generation int64) (*musterv1.RollbackProjectionResponse, error) {
	return call(ctx, p, beginBound, p.client.RollbackProjection, &musterv1.RollbackProjectionRequest{Name: p.name, Generation: generation})
}

// Drop begins to delete the former generation, and gives its number. It is
// refused where that is another one than asked for; 0 is whichever it is.
func (p *Projection) Drop(ctx context.Context, generation int64) (*musterv1.DropGenerationResponse, error) {
	return call(ctx, p, beginBound, p.client.DropGeneration, &musterv1.DropGenerationRequest{Name: p.name, Generation: generation})
}

// ParkedEvent gives the event of a stream that is parked.
func (p *Projection) ParkedEvent(ctx context.Context, stream string) (*musterv1.GetParkedEventResponse, error) {
	return call(ctx, p, beginBound, p.client.GetParkedEvent, &musterv1.GetParkedEventRequest{Projection: p.name, Stream: stream})
}

// Retry applies a parked event and those that wait behind it.
func (p *Projection) Retry(ctx context.Context, stream string) (*musterv1.RetryParkedEventResponse, error) {
	return call(ctx, p, applyBound, p.client.RetryParkedEvent, &musterv1.RetryParkedEventRequest{Projection: p.name, Stream: stream})
}

// Skip leaves a parked event out, for a reason, and applies those behind it.
func (p *Projection) Skip(ctx context.Context, stream string, version int64, why string) (*musterv1.SkipParkedEventResponse, error) {
	return call(ctx, p, applyBound, p.client.SkipParkedEvent, &musterv1.SkipParkedEventRequest{
		Projection: p.name, Stream: stream, Version: version, Reason: why,
	})
}

// call asks the projection's service, for no longer than atMost.
func call[Req, Res any](ctx context.Context, p *Projection, atMost time.Duration,
	ask func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), request *Req,
) (*Res, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	answer, err := ask(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}
