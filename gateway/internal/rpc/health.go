package rpc

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	// statusTimeout bounds how long a service may take to say how it is. It waits
	// for nothing to say so.
	statusTimeout = 2 * time.Second
	// gatewayName is our own among the services.
	gatewayName = "gateway"
)

// Health serves HealthService.
type Health struct {
	Version string
	// Services are those behind the gateway, by name.
	Services map[string]statusv1connect.StatusServiceClient
	// Own tells how the gateway sees them, from looks in the background.
	Own    func() *statusv1.GetStatusResponse
	Now    func() time.Time
	Logger *slog.Logger
}

var _ musterv1connect.HealthServiceHandler = (*Health)(nil)

// Ping answers at once and touches nothing.
func (h *Health) Ping(context.Context, *connect.Request[musterv1.PingRequest]) (*connect.Response[musterv1.PingResponse], error) {
	return connect.NewResponse(&musterv1.PingResponse{Version: h.Version, Time: timestamppb.New(h.Now())}), nil
}

// CheckServices asks all services at once; one that does not answer is DOWN.
func (h *Health) CheckServices(ctx context.Context, _ *connect.Request[musterv1.CheckServicesRequest]) (*connect.Response[musterv1.CheckServicesResponse], error) {
	own := h.Own()
	services := make([]*musterv1.ServiceHealth, len(h.Services), len(h.Services)+1)
	var asked sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(h.Services)) {
		asked.Go(func() { services[i] = h.look(ctx, name, own) })
	}
	asked.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err // whoever has gone says nothing of the services
	}
	services = append(services, assess(gatewayName, 0, own))
	slices.SortFunc(services, func(a, b *musterv1.ServiceHealth) int { return cmp.Compare(a.GetName(), b.GetName()) })
	response := &musterv1.CheckServicesResponse{State: musterv1.State_STATE_UP, Services: services}
	for _, service := range services {
		response.State = max(response.State, service.GetState())
	}
	return connect.NewResponse(response), nil
}

// look asks one service. When it does not answer, own may know since when.
func (h *Health) look(ctx context.Context, name string, own *statusv1.GetStatusResponse) *musterv1.ServiceHealth {
	began := h.Now()
	got, err := call(ctx, statusTimeout, h.Services[name].GetStatus, &statusv1.GetStatusRequest{})
	now := h.Now()
	if err == nil {
		return assess(name, now.Sub(began), got)
	}
	h.Logger.WarnContext(ctx, "a service does not say how it is", slog.String("asked", name), slog.Any("error", err))
	since := timestamppb.New(now)
	for _, part := range own.GetDependencies() {
		if part.GetName() == name && part.GetState() == statusv1.State_STATE_DOWN {
			since = part.GetSince()
		}
	}
	return &musterv1.ServiceHealth{Name: name, State: musterv1.State_STATE_DOWN, Latency: durationpb.New(now.Sub(began)), Since: since}
}

// assess makes up what a service says of its dependencies: one that it can do
// nothing without makes it as bad as itself, any other at most degraded.
func assess(name string, latency time.Duration, said *statusv1.GetStatusResponse) *musterv1.ServiceHealth {
	service := &musterv1.ServiceHealth{Name: name, State: musterv1.State_STATE_UP, Latency: durationpb.New(latency)}
	since := said.GetStartedAt().AsTime() // all is well since the last of its parts is
	for _, dependency := range said.GetDependencies() {
		state := stateOf(dependency.GetState())
		service.Dependencies = append(service.Dependencies, &musterv1.DependencyHealth{
			Name:       dependency.GetName(),
			State:      state,
			Latency:    dependency.GetLatency(),
			Since:      dependency.GetSince(),
			Problem:    dependency.GetProblem(),
			Projection: projectionOf(dependency.GetProjection()),
		})
		if !dependency.GetVital() {
			state = min(state, musterv1.State_STATE_DEGRADED)
		}
		at := dependency.GetSince().AsTime()
		switch {
		case state > service.GetState(): // worse than all before it
			service.State, since = state, at
		case state < service.GetState():
		case state == musterv1.State_STATE_UP && at.After(since), state != musterv1.State_STATE_UP && at.Before(since):
			since = at
		}
	}
	slices.SortFunc(service.Dependencies, func(a, b *musterv1.DependencyHealth) int { return cmp.Compare(a.GetName(), b.GetName()) })
	service.Since = timestamppb.New(since)
	return service
}

// projectionOf is what a service says of a projection; nil for any other part.
func projectionOf(said *statusv1.ProjectionHealth) *musterv1.ProjectionHealth {
	if said == nil {
		return nil
	}
	return &musterv1.ProjectionHealth{
		LagEvents:       said.GetLagEvents(),
		Lag:             said.GetLag(),
		EventsPerSecond: said.GetEventsPerSecond(),
		Parked:          said.GetParked(),
		OldestParkedAt:  said.GetOldestParkedAt(),
		Generation:      said.GetGeneration(),
		Progress:        said.Progress,
		UnknownEvents:   said.GetUnknownEvents(),
	}
}

// stateOf takes a state that this gateway does not know for a bad one.
func stateOf(state statusv1.State) musterv1.State {
	switch state {
	case statusv1.State_STATE_UP:
		return musterv1.State_STATE_UP
	case statusv1.State_STATE_DOWN:
		return musterv1.State_STATE_DOWN
	default:
		return musterv1.State_STATE_DEGRADED
	}
}
