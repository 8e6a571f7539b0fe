package operations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// answerTime is what waiting leaves of the caller's deadline for the answer.
const answerTime = 250 * time.Millisecond

// Projection is what operators work on; *projection.Projector is one.
type Projection interface {
	// Name of the projection, its own in all of Muster.
	Name() string
	// Overview is all that is told of it.
	Overview(ctx context.Context) (projection.Overview, error)
	// Rebuild begins to make its rows anew. Errors: *projection.UnderWayError.
	Rebuild(ctx context.Context, by string) (projection.Operation, error)
	// Verify begins to compare its rows with the events. Errors:
	// *projection.UnderWayError.
	Verify(ctx context.Context, by string) (projection.Operation, error)
	// Cancel gives up what is under way. Errors: projection.ErrNothingUnderWay.
	Cancel(ctx context.Context) error
	// Rollback lets the former generation serve, and gives its number; 0 means
	// whichever that is. Errors: projection.ErrNoFormer, *projection.UnderWayError,
	// projection.ErrBusy.
	Rollback(ctx context.Context, generation int64) (serving int64, err error)
	// Drop deletes the former generation, and gives its number; 0 means whichever
	// that is. Errors: projection.ErrNoFormer.
	Drop(ctx context.Context, generation int64) (dropped int64, err error)
	// Parked are the events that could not be applied, the first 1000.
	Parked(ctx context.Context) ([]projection.Parked, error)
	// ParkedEvent gives one of them. Errors: projection.ErrNotParked.
	ParkedEvent(ctx context.Context, stream string) (projection.Parked, eventstore.Event, error)
	// Retry applies it and what waits behind it. Errors: projection.ErrNotParked.
	Retry(ctx context.Context, stream string) (projection.Outcome, error)
	// Skip leaves it out and applies what waits behind it. Errors:
	// projection.ErrNotParked, *projection.OtherParkedError.
	Skip(ctx context.Context, stream string, version int64, reason, by string) (projection.Outcome, error)
	// Skipped are the events that were left out, the last 1000.
	Skipped(ctx context.Context) ([]projection.Skipped, error)
}

// Handler serves the projections of one service. Who may call it stands in the
// proto.
type Handler struct {
	service string
	// actor tells who does what a call asks for.
	actor       func(context.Context) string
	projections []Projection // by name
}

var _ projectionv1connect.ProjectionServiceHandler = (*Handler)(nil)

// NewHandler serves projections of a service. The actor of a call, "user-<id>"
// or "service-<name>", is kept with what the call has begun.
func NewHandler(service string, actor func(context.Context) string, projections ...Projection) *Handler {
	byName := func(a, b Projection) int { return cmp.Compare(a.Name(), b.Name()) }
	return &Handler{service: service, actor: actor, projections: slices.SortedFunc(slices.Values(projections), byName)}
}

// ListProjections tells how each projection is.
func (h *Handler) ListProjections(ctx context.Context, _ *connect.Request[musterv1.ListProjectionsRequest]) (*connect.Response[musterv1.ListProjectionsResponse], error) {
	response := &musterv1.ListProjectionsResponse{}
	for _, each := range h.projections {
		overview, err := each.Overview(ctx)
		if err != nil {
			return nil, fmt.Errorf("look at projection %s: %w", each.Name(), err)
		}
		response.Projections = append(response.Projections, h.projectionOf(each.Name(), overview))
	}
	return connect.NewResponse(response), nil
}

// RebuildProjection begins a rebuild.
func (h *Handler) RebuildProjection(ctx context.Context, request *connect.Request[musterv1.RebuildProjectionRequest]) (*connect.Response[musterv1.RebuildProjectionResponse], error) {
	named, err := h.find(request.Msg.GetName(), nameField)
	if err != nil {
		return nil, err
	}
	begun, err := named.Rebuild(ctx, h.actor(ctx))
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.RebuildProjectionResponse{Operation: operationOf(begun)}), nil
}

// VerifyProjection begins a verification.
func (h *Handler) VerifyProjection(ctx context.Context, request *connect.Request[musterv1.VerifyProjectionRequest]) (*connect.Response[musterv1.VerifyProjectionResponse], error) {
	named, err := h.find(request.Msg.GetName(), nameField)
	if err != nil {
		return nil, err
	}
	begun, err := named.Verify(ctx, h.actor(ctx))
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.VerifyProjectionResponse{Operation: operationOf(begun)}), nil
}

// CancelOperation gives up what is under way.
func (h *Handler) CancelOperation(ctx context.Context, request *connect.Request[musterv1.CancelOperationRequest]) (*connect.Response[musterv1.CancelOperationResponse], error) {
	named, err := h.find(request.Msg.GetName(), nameField)
	if err != nil {
		return nil, err
	}
	if err := named.Cancel(ctx); err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.CancelOperationResponse{}), nil
}

// RollbackProjection lets the former rows serve.
func (h *Handler) RollbackProjection(ctx context.Context, request *connect.Request[musterv1.RollbackProjectionRequest]) (*connect.Response[musterv1.RollbackProjectionResponse], error) {
	named, err := h.find(request.Msg.GetName(), nameField)
	if err != nil {
		return nil, err
	}
	// It waits for the former rows to be as new: an answer in time that they are
	// not, rather than a deadline missed.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerTime))
		defer cancel()
	}
	generation, err := named.Rollback(ctx, request.Msg.GetGeneration())
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.RollbackProjectionResponse{Generation: generation}), nil
}

// DropGeneration deletes the former rows.
func (h *Handler) DropGeneration(ctx context.Context, request *connect.Request[musterv1.DropGenerationRequest]) (*connect.Response[musterv1.DropGenerationResponse], error) {
	named, err := h.find(request.Msg.GetName(), nameField)
	if err != nil {
		return nil, err
	}
	generation, err := named.Drop(ctx, request.Msg.GetGeneration())
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.DropGenerationResponse{Generation: generation}), nil
}

// ListParkedEvents tells those of one projection, or of all.
func (h *Handler) ListParkedEvents(ctx context.Context, request *connect.Request[musterv1.ListParkedEventsRequest]) (*connect.Response[musterv1.ListParkedEventsResponse], error) {
	asked, err := h.asked(request.Msg.GetProjection())
	if err != nil {
		return nil, err
	}
	response := &musterv1.ListParkedEventsResponse{}
	for _, each := range asked {
		parked, err := each.Parked(ctx)
		if err != nil {
			return nil, fmt.Errorf("list parked events of %s: %w", each.Name(), err)
		}
		for _, event := range parked {
			response.Events = append(response.Events, h.parkedOf(each.Name(), event))
		}
	}
	slices.SortStableFunc(response.Events, func(a, b *musterv1.ParkedEvent) int {
		return a.GetParkedAt().AsTime().Compare(b.GetParkedAt().AsTime())
	})
	return connect.NewResponse(response), nil
}

// GetParkedEvent tells one, with its payload: what is sealed in it stays so.
func (h *Handler) GetParkedEvent(ctx context.Context, request *connect.Request[musterv1.GetParkedEventRequest]) (*connect.Response[musterv1.GetParkedEventResponse], error) {
	named, err := h.find(request.Msg.GetProjection(), projectionField)
	if err != nil {
		return nil, err
	}
	parked, event, err := named.ParkedEvent(ctx, request.Msg.GetStream())
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.GetParkedEventResponse{
		Event:   h.parkedOf(named.Name(), parked),
		Payload: string(event.Payload),
		Sealed:  len(event.Sealed) > 0,
	}), nil
}

// RetryParkedEvent applies one and what waits behind it.
func (h *Handler) RetryParkedEvent(ctx context.Context, request *connect.Request[musterv1.RetryParkedEventRequest]) (*connect.Response[musterv1.RetryParkedEventResponse], error) {
	named, err := h.find(request.Msg.GetProjection(), projectionField)
	if err != nil {
		return nil, err
	}
	outcome, err := named.Retry(ctx, request.Msg.GetStream())
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.RetryParkedEventResponse{Applied: outcome.Applied, Parked: h.stillParked(named.Name(), outcome)}), nil
}

// SkipParkedEvent leaves one out.
func (h *Handler) SkipParkedEvent(ctx context.Context, request *connect.Request[musterv1.SkipParkedEventRequest]) (*connect.Response[musterv1.SkipParkedEventResponse], error) {
	named, err := h.find(request.Msg.GetProjection(), projectionField)
	if err != nil {
		return nil, err
	}
	outcome, err := named.Skip(ctx, request.Msg.GetStream(), request.Msg.GetVersion(), request.Msg.GetReason(), h.actor(ctx))
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&musterv1.SkipParkedEventResponse{Applied: outcome.Applied, Parked: h.stillParked(named.Name(), outcome)}), nil
}

// ListSkippedEvents tells those of one projection, or of all.
func (h *Handler) ListSkippedEvents(ctx context.Context, request *connect.Request[musterv1.ListSkippedEventsRequest]) (*connect.Response[musterv1.ListSkippedEventsResponse], error) {
	asked, err := h.asked(request.Msg.GetProjection())
	if err != nil {
		return nil, err
	}
	response := &musterv1.ListSkippedEventsResponse{}
	for _, each := range asked {
		skipped, err := each.Skipped(ctx)
		if err != nil {
			return nil, fmt.Errorf("list skipped events of %s: %w", each.Name(), err)
		}
		for _, event := range skipped {
			response.Events = append(response.Events, h.skippedOf(each.Name(), event))
		}
	}
	slices.SortStableFunc(response.Events, func(a, b *musterv1.SkippedEvent) int {
		return b.GetSkippedAt().AsTime().Compare(a.GetSkippedAt().AsTime())
	})
	return connect.NewResponse(response), nil
}

// asked gives the projection that a list is asked of; all where none is named.
func (h *Handler) asked(name string) ([]Projection, error) {
	if name == "" {
		return h.projections, nil
	}
	named, err := h.find(name, projectionField)
	return []Projection{named}, err
}

// find gives the projection that a field of the request names.
func (h *Handler) find(name, field string) (Projection, error) {
	for _, each := range h.projections {
		if each.Name() == name {
			return each, nil
		}
	}
	return nil, unknown(field)
}
