package eventlog

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

// Kept is a log as operators keep it.
type Kept interface {
	// Describe tells what has happened to it.
	Describe(ctx context.Context) (eventstore.Description, error)
	// Rebase begins a new epoch for a reason, and gives its number.
	Rebase(ctx context.Context, reason string) (int64, error)
}

// Keeper serves what operators do with a log. Who may call it stands in the proto.
type Keeper struct{ log Kept }

var _ eventlogv1connect.LogServiceHandler = (*Keeper)(nil)

// NewKeeper serves a log to operators.
func NewKeeper(log Kept) *Keeper { return &Keeper{log: log} }

// DescribeLog tells each epoch, and why it began.
func (k *Keeper) DescribeLog(ctx context.Context, _ *connect.Request[eventlogv1.DescribeLogRequest]) (*connect.Response[eventlogv1.DescribeLogResponse], error) {
	told, err := k.log.Describe(ctx)
	if err != nil {
		return nil, err
	}
	response := &eventlogv1.DescribeLogResponse{Log: told.Log, LastOffset: told.LastOffset}
	if !told.LastEventAt.IsZero() {
		response.LastEventAt = timestamppb.New(told.LastEventAt)
	}
	for _, epoch := range told.Epochs {
		response.Epochs = append(response.Epochs, &eventlogv1.Epoch{
			Epoch: epoch.Number, BeganAt: timestamppb.New(epoch.BeganAt), Reason: epoch.Reason, LastOffset: epoch.LastOffset,
		})
	}
	return connect.NewResponse(response), nil
}

// RebaseLog begins a new epoch.
func (k *Keeper) RebaseLog(ctx context.Context, request *connect.Request[eventlogv1.RebaseLogRequest]) (*connect.Response[eventlogv1.RebaseLogResponse], error) {
	epoch, err := k.log.Rebase(ctx, request.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&eventlogv1.RebaseLogResponse{Epoch: epoch}), nil
}
