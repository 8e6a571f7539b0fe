package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// Health serves HealthService.
type Health struct {
	Version string
	Now     func() time.Time
}

var _ musterv1connect.HealthServiceHandler = (*Health)(nil)

// Ping answers at once and touches nothing.
func (h *Health) Ping(context.Context, *connect.Request[musterv1.PingRequest]) (*connect.Response[musterv1.PingResponse], error) {
	return connect.NewResponse(&musterv1.PingResponse{Version: h.Version, Time: timestamppb.New(h.Now())}), nil
}
