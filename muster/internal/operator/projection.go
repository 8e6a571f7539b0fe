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
	listed, err := p.client.ListProjections(ctx, connect.NewRequest(&musterv1.ListProjectionsRequest{}))
	if err != nil {
		return nil, from(p.service, err)
	}
	for _, each := range listed.Msg.GetProjections() {
		if each.GetName() == p.name {
			return each, nil
		}
	}
	return nil, from(p.service, ErrNoProjection)
}

// Rebuild begins a rebuild.
func (p *Projection) Rebuild(ctx context.Context) (*musterv1.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := p.client.RebuildProjection(ctx, connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: p.name}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg.GetOperation(), nil
}

// Verify begins a verification.
func (p *Projection) Verify(ctx context.Context) (*musterv1.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := p.client.VerifyProjection(ctx, connect.NewRequest(&musterv1.VerifyProjectionRequest{Name: p.name}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg.GetOperation(), nil
}

// Cancel asks for the end of what is under way; GiveUp waits for it.
func (p *Projection) Cancel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	_, err := p.client.CancelOperation(ctx, connect.NewRequest(&musterv1.CancelOperationRequest{Name: p.name}))
	return from(p.service, err)
}

// Rollback lets the former generation serve, and gives its number. It is refused
// where that is another one than asked for; 0 is whichever it is.
func (p *Projection) Rollback(ctx context.Context, generation int64) (*musterv1.RollbackProjectionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := p.client.RollbackProjection(ctx, connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: p.name, Generation: generation}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}

// Drop begins to delete the former generation, and gives its number. It is
// refused where that is another one than asked for; 0 is whichever it is.
func (p *Projection) Drop(ctx context.Context, generation int64) (*musterv1.DropGenerationResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := p.client.DropGeneration(ctx, connect.NewRequest(&musterv1.DropGenerationRequest{Name: p.name, Generation: generation}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}

// ParkedEvent gives the event of a stream that is parked.
func (p *Projection) ParkedEvent(ctx context.Context, stream string) (*musterv1.GetParkedEventResponse, error) {
	answer, err := p.client.GetParkedEvent(ctx, connect.NewRequest(&musterv1.GetParkedEventRequest{Projection: p.name, Stream: stream}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}

// Retry applies a parked event and those that wait behind it.
func (p *Projection) Retry(ctx context.Context, stream string) (*musterv1.RetryParkedEventResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, applyBound)
	defer cancel()
	answer, err := p.client.RetryParkedEvent(ctx, connect.NewRequest(&musterv1.RetryParkedEventRequest{Projection: p.name, Stream: stream}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}

// Skip leaves a parked event out, for a reason, and applies those behind it.
func (p *Projection) Skip(ctx context.Context, stream string, version int64, why string) (*musterv1.SkipParkedEventResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, applyBound)
	defer cancel()
	answer, err := p.client.SkipParkedEvent(ctx, connect.NewRequest(&musterv1.SkipParkedEventRequest{
		Projection: p.name, Stream: stream, Version: version, Reason: why,
	}))
	if err != nil {
		return nil, from(p.service, err)
	}
	return answer.Msg, nil
}
