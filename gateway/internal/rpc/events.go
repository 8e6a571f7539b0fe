package rpc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/page"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/overview"
	"github.com/muster-id/muster/platform/reason"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// readSensitive is the permission that what is personal is shown with. The services
// ask for it too; here it is asked for before one of them is, as a page may have
// nothing of any.
const readSensitive = "events.read_sensitive"

// Events serves EventService: the views of the services that keep a log, as one.
// They open the events, and record what they show; no key is here.
type Events struct {
	Logs overview.Logs
	// Accounts is the view of the service that has the accounts.
	Accounts eventlogv1connect.EventViewServiceClient
	Pages    *page.Sealer
	Logger   *slog.Logger
	// Timeout bounds one call of another service.
	Timeout time.Duration
}

var _ musterv1connect.EventServiceHandler = (*Events)(nil)

// ListEvents asks all logs, and names those whose services do not answer.
func (e *Events) ListEvents(ctx context.Context, request *connect.Request[musterv1.ListEventsRequest]) (*connect.Response[musterv1.ListEventsResponse], error) {
	if err := mayShow(ctx, request.Msg.GetSensitive()); err != nil {
		return nil, err
	}
	filters := proto.CloneOf(request.Msg)
	filters.PageToken, filters.PageSize = "", 0
	query := queryOf(ctx, request.Spec().Procedure, filters)
	kept := &eventlogv1.LogPlaces{}
	further, err := placeOf(e.Pages, query, request.Msg.GetPageToken(), kept)
	if err != nil {
		return nil, err
	}
	var from overview.Places
	if further {
		from = overview.PlacesOf(kept)
	}
	listed, err := e.Logs.List(ctx, request.Msg, from)
	if err != nil {
		return nil, ofLog(err)
	}
	response := connect.NewResponse(&musterv1.ListEventsResponse{Events: listed.Events})
	for _, missing := range listed.Missing {
		e.Logger.WarnContext(ctx, "a service does not tell of its events", slog.String("asked", missing.Log), slog.Any("error", missing.Err))
		response.Msg.Unreachable = append(response.Msg.Unreachable, missing.Log)
	}
	if listed.Next != nil {
		response.Msg.NextPageToken, err = e.Pages.Seal(query, listed.Next.Message())
	}
	return answered(response, err)
}

// WatchEvents follows all logs, until one of them lets go.
func (e *Events) WatchEvents(ctx context.Context, request *connect.Request[musterv1.WatchEventsRequest], stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	if err := mayShow(ctx, request.Msg.GetSensitive()); err != nil {
		return err
	}
	from, err := overview.ParseCursor(request.Msg.GetCursor())
	if err != nil {
		return ofLog(err)
	}
	return ofLog(e.Logs.Watch(ctx, request.Msg, from, func(events []*musterv1.RecordedEvent, places overview.Places) error {
		return stream.Send(&musterv1.WatchEventsResponse{Events: events, Cursor: places.Cursor()})
	}))
}

// GetUserHistory asks the service that has the accounts.
func (e *Events) GetUserHistory(ctx context.Context, request *connect.Request[musterv1.GetUserHistoryRequest]) (*connect.Response[musterv1.GetUserHistoryResponse], error) {
	if err := mayShow(ctx, request.Msg.GetSensitive()); err != nil {
		return nil, err
	}
	asked := proto.CloneOf(request.Msg)
	asked.PageToken, asked.PageSize = "", 0
	query := queryOf(ctx, request.Spec().Procedure, proto.CloneOf(asked))
	place := &eventlogv1.LogPlace{}
	if _, err := placeOf(e.Pages, query, request.Msg.GetPageToken(), place); err != nil {
		return nil, err
	}
	asked.PageToken, asked.PageSize = place.GetPlace(), pageSize(request.Msg.GetPageSize())
	told, err := call(ctx, e.Timeout, e.Accounts.GetUserHistory, asked)
	if err != nil {
		return nil, err
	}
	if next := told.GetNextPageToken(); next != "" {
		if told.NextPageToken, err = e.Pages.Seal(query, &eventlogv1.LogPlace{Place: next}); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(told), nil
}

// mayShow refuses who may not see what is personal.
func mayShow(ctx context.Context, sensitive bool) error {
	if sensitive && !access.Granted(ctx, readSensitive) {
		return reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, reason.Field("sensitive"),
			reason.Message("You may not see what is personal without the permission "+readSensitive))
	}
	return nil
}

// ofLog gives the error of a log's service as it is where it refuses, and else
// names the log that cannot be reached.
func ofLog(err error) error {
	var of *overview.LogError
	switch {
	case errors.Is(err, overview.ErrPlaces):
		return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field("cursor"), reason.Message("The cursor is not one of these logs"))
	case !errors.As(err, &of):
		return err
	case of.Silent():
		return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Message("There is no answer from the log "+of.Log), reason.Cause(of.Err))
	}
	return of.Err
}
