package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
)

// Await waits until what is read shows a position.
func (i *Identity) Await(ctx context.Context, request *connect.Request[identityv1.AwaitRequest]) (*connect.Response[identityv1.AwaitResponse], error) {
	of := request.Msg.GetPosition()
	err := i.app.Queries.Await.Handle(ctx, app.Await{Position: eventstore.Position{
		Log: of.GetLog(), Epoch: of.GetEpoch(), Stream: of.GetStream(), Version: of.GetVersion(),
	}})
	if err != nil && !errors.Is(err, app.ErrNotCaughtUp) {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.AwaitResponse{Applied: err == nil}), nil
}
