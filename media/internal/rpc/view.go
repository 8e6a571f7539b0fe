package rpc

import (
	"context"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/view"
	"github.com/muster-id/muster/platform/access"
)

// Caller tells the view of events who asks, with what is recorded of it.
func Caller(ctx context.Context) view.Caller {
	request := requestOf(ctx)
	return view.Caller{
		Metadata:  eventstore.Metadata{Actor: access.Actor(ctx), RequestID: request.ID, TraceParent: request.TraceParent},
		Origin:    request.Origin,
		Sensitive: access.Granted(ctx, view.Permission),
	}
}
