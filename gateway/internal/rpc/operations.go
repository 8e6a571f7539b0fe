package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// listTimeout bounds how long a service may take to tell of its projections.
const listTimeout = 2 * time.Second

// Operations serves OperationsService. A projection is the business of the
// service that has it, so no place here knows which one that is: all are asked,
// and those that have no projection of the name say so.
type Operations struct {
	// Services are those that have projections, by name.
	Services map[string]projectionv1connect.ProjectionServiceClient
	Logger   *slog.Logger
	// Timeout bounds one call of another service.
	Timeout time.Duration
}

var _ musterv1connect.OperationsServiceHandler = (*Operations)(nil)

// ListProjections asks all services at once, and names those that do not answer.
func (o *Operations) ListProjections(ctx context.Context, request *connect.Request[musterv1.ListProjectionsRequest]) (*connect.Response[musterv1.ListProjectionsResponse], error) {
	response := &musterv1.ListProjectionsResponse{}
	response.Unreachable = everywhere(ctx, o, projectionv1connect.ProjectionServiceClient.ListProjections, request.Msg, func(told *musterv1.ListProjectionsResponse) {
		response.Projections = append(response.Projections, told.GetProjections()...)
	})
	slices.SortStableFunc(response.Projections, func(a, b *musterv1.Projection) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return unlessGone(ctx, response)
}

// RebuildProjection begins a rebuild.
func (o *Operations) RebuildProjection(ctx context.Context, request *connect.Request[musterv1.RebuildProjectionRequest]) (*connect.Response[musterv1.RebuildProjectionResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.RebuildProjection, request.Msg)
}

// VerifyProjection begins a verification.
func (o *Operations) VerifyProjection(ctx context.Context, request *connect.Request[musterv1.VerifyProjectionRequest]) (*connect.Response[musterv1.VerifyProjectionResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.VerifyProjection, request.Msg)
}

// CancelOperation gives up what is under way.
func (o *Operations) CancelOperation(ctx context.Context, request *connect.Request[musterv1.CancelOperationRequest]) (*connect.Response[musterv1.CancelOperationResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.CancelOperation, request.Msg)
}

// RollbackProjection lets the former rows serve.
func (o *Operations) RollbackProjection(ctx context.Context, request *connect.Request[musterv1.RollbackProjectionRequest]) (*connect.Response[musterv1.RollbackProjectionResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.RollbackProjection, request.Msg)
}

// DropGeneration deletes the former rows.
func (o *Operations) DropGeneration(ctx context.Context, request *connect.Request[musterv1.DropGenerationRequest]) (*connect.Response[musterv1.DropGenerationResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.DropGeneration, request.Msg)
}

// ListParkedEvents tells those of one projection, or of all.
func (o *Operations) ListParkedEvents(ctx context.Context, request *connect.Request[musterv1.ListParkedEventsRequest]) (*connect.Response[musterv1.ListParkedEventsResponse], error) {
	if request.Msg.GetProjection() != "" {
		return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.ListParkedEvents, request.Msg)
	}
	response := &musterv1.ListParkedEventsResponse{}
	response.Unreachable = everywhere(ctx, o, projectionv1connect.ProjectionServiceClient.ListParkedEvents, request.Msg, func(told *musterv1.ListParkedEventsResponse) {
		response.Events = append(response.Events, told.GetEvents()...)
	})
	slices.SortStableFunc(response.Events, func(a, b *musterv1.ParkedEvent) int {
		return a.GetParkedAt().AsTime().Compare(b.GetParkedAt().AsTime())
	})
	return unlessGone(ctx, response)
}

// GetParkedEvent tells one.
func (o *Operations) GetParkedEvent(ctx context.Context, request *connect.Request[musterv1.GetParkedEventRequest]) (*connect.Response[musterv1.GetParkedEventResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.GetParkedEvent, request.Msg)
}

// RetryParkedEvent applies one and what waits behind it.
func (o *Operations) RetryParkedEvent(ctx context.Context, request *connect.Request[musterv1.RetryParkedEventRequest]) (*connect.Response[musterv1.RetryParkedEventResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.RetryParkedEvent, request.Msg)
}

// SkipParkedEvent leaves one out.
func (o *Operations) SkipParkedEvent(ctx context.Context, request *connect.Request[musterv1.SkipParkedEventRequest]) (*connect.Response[musterv1.SkipParkedEventResponse], error) {
	return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.SkipParkedEvent, request.Msg)
}

// ListSkippedEvents tells those of one projection, or of all.
func (o *Operations) ListSkippedEvents(ctx context.Context, request *connect.Request[musterv1.ListSkippedEventsRequest]) (*connect.Response[musterv1.ListSkippedEventsResponse], error) {
	if request.Msg.GetProjection() != "" {
		return whereItIs(ctx, o, projectionv1connect.ProjectionServiceClient.ListSkippedEvents, request.Msg)
	}
	response := &musterv1.ListSkippedEventsResponse{}
	response.Unreachable = everywhere(ctx, o, projectionv1connect.ProjectionServiceClient.ListSkippedEvents, request.Msg, func(told *musterv1.ListSkippedEventsResponse) {
		response.Events = append(response.Events, told.GetEvents()...)
	})
	slices.SortStableFunc(response.Events, func(a, b *musterv1.SkippedEvent) int {
		return b.GetSkippedAt().AsTime().Compare(a.GetSkippedAt().AsTime())
	})
	return unlessGone(ctx, response)
}

// operation is one method of a service's ProjectionService.
type operation[Req, Res any] func(projectionv1connect.ProjectionServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Res], error)

// told is what a service has answered.
type told[Res any] struct {
	service  string
	response *Res
	err      error
}

// everywhere asks all services at once, gives their answers by the names of the
// services, and names those that do not answer.
func everywhere[Req, Res any](ctx context.Context, o *Operations, ask operation[Req, Res], request *Req, take func(*Res)) (unreachable []string) {
	answers := make([]told[Res], len(o.Services))
	var asked sync.WaitGroup
	for i, service := range slices.Sorted(maps.Keys(o.Services)) {
		asked.Go(func() { answers[i] = askOne(ctx, o.Services[service], service, listTimeout, ask, request) })
	}
	asked.Wait()
	for _, answer := range answers {
		if answer.err != nil {
			o.Logger.WarnContext(ctx, "a service does not tell of its projections", slog.String("asked", answer.service), slog.Any("error", answer.err))
			unreachable = append(unreachable, answer.service)
			continue
		}
		take(answer.response)
	}
	return unreachable
}

// whereItIs asks all services at once for what only the one that has the
// projection can do, and waits for that one's answer alone. Whether a service
// that does not answer has the projection cannot be told, unless another one has.
func whereItIs[Req, Res any](ctx context.Context, o *Operations, ask operation[Req, Res], request *Req) (*connect.Response[Res], error) {
	var asked sync.WaitGroup
	defer asked.Wait()
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan told[Res], len(o.Services))
	for service, client := range o.Services {
		asked.Go(func() { answers <- askOne(limited, client, service, o.Timeout, ask, request) })
	}
	var unknown error
	var silent []told[Res]
	for range o.Services {
		answer := <-answers
		switch {
		case answer.err == nil:
			return connect.NewResponse(answer.response), nil
		case hasNone(answer.err):
			unknown = answer.err
		case isSilent(answer.err):
			silent = append(silent, answer)
		default:
			return nil, answer.err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(silent) > 0 {
		return nil, unavailable(silent)
	}
	return nil, unknown
}

func askOne[Req, Res any](
	ctx context.Context, client projectionv1connect.ProjectionServiceClient, service string, atMost time.Duration, ask operation[Req, Res], request *Req,
) told[Res] {
	response, err := call(ctx, atMost, func(ctx context.Context, request *connect.Request[Req]) (*connect.Response[Res], error) {
		return ask(client, ctx, request)
	}, request)
	return told[Res]{service: service, response: response, err: err}
}

// hasNone tells the refusal of a service that has no projection of the name
// from that of the one that has: the field says what was not found.
func hasNone(err error) bool {
	detail, _ := reason.DetailOf(err)
	return reason.Of(err) == musterv1.Reason_REASON_NOT_FOUND && (detail.GetField() == "name" || detail.GetField() == "projection")
}

// isSilent tells what says nothing of the projection: a service that does not
// answer, or one of a version that does not know the method.
func isSilent(err error) bool {
	switch reason.Of(err) {
	case musterv1.Reason_REASON_UNSPECIFIED, musterv1.Reason_REASON_UNAVAILABLE, musterv1.Reason_REASON_UNIMPLEMENTED:
		return true
	}
	return false
}

// unavailable names the services that may have the projection.
func unavailable[Res any](silent []told[Res]) error {
	var services []string
	var causes []error
	for _, each := range silent {
		services = append(services, each.service)
		causes = append(causes, fmt.Errorf("%s: %w", each.service, each.err))
	}
	slices.Sort(services)
	text := "No other service has the projection, and there is no answer from " + strings.Join(services, " and ")
	return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Message(text), reason.Cause(errors.Join(causes...)))
}

// unlessGone keeps a list from whoever has gone: it says nothing of the services.
func unlessGone[Res any](ctx context.Context, response *Res) (*connect.Response[Res], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return connect.NewResponse(response), nil
}
