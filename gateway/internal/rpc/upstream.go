package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// method is one method of a generated client.
type method[Req, Res any] func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error)

// call asks another service, for so long at most. Its reasons pass through; a
// service that does not answer in time is UNAVAILABLE, since the caller's own
// time-out has not ended.
func call[Req, Res any](ctx context.Context, atMost time.Duration, ask method[Req, Res], request *Req) (*Res, error) {
	limited, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	response, err := ask(limited, connect.NewRequest(request))
	if err == nil {
		return response.Msg, nil
	}
	if ctx.Err() == nil && connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		return nil, reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Cause(err))
	}
	return nil, err
}
