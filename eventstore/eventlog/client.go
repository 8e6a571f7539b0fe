package eventlog

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

const (
	// callTimeout bounds a call, besides what it waits at the head.
	callTimeout = 15 * time.Second
	// maxLimit is the largest page that the service gives.
	maxLimit = 5000
)

// Client reads a log of another service.
type Client struct {
	service eventlogv1connect.EventLogServiceClient
}

var (
	_ eventstore.LogReader      = (*Client)(nil)
	_ eventstore.FilteredReader = (*Client)(nil)
	_ eventstore.StreamReader   = (*Client)(nil)
)

// NewClient reads through the service's client.
func NewClient(service eventlogv1connect.EventLogServiceClient) *Client {
	return &Client{service: service}
}

// ReadLog reads as eventstore.LogReader says, at most 30 seconds of waiting and
// 5000 events at once.
func (c *Client) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	return c.ReadMatching(ctx, eventstore.Filter{}, after, limit, wait)
}

// ReadMatching reads as eventstore.FilteredReader says, within the same bounds.
func (c *Client) ReadMatching(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	wait = min(max(wait, 0), maxWait)
	ctx, cancel := context.WithTimeout(ctx, wait+callTimeout)
	defer cancel()
	response, err := c.service.ReadLog(ctx, connect.NewRequest(&eventlogv1.ReadLogRequest{
		Cursor: string(after), Limit: bounded(limit), WaitMs: int32(wait.Milliseconds()), Filter: fromFilter(filter),
	}))
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", fromError(err))
	}
	page, err := toPage(response.Msg)
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", err)
	}
	return page, nil
}

// fromFilter leaves out one that chooses all, which an older server chooses too.
func fromFilter(filter eventstore.Filter) *eventlogv1.Filter {
	if len(filter.Types) == 0 && filter.Stream == "" {
		return nil
	}
	return &eventlogv1.Filter{Types: filter.Types, Stream: filter.Stream}
}

// response is a page as ReadLog and FollowLog give it.
type response interface {
	GetEvents() []*eventlogv1.Event
	GetNextCursor() string
	GetEpoch() int64
	GetAtHead() bool
	GetRemaining() int64
}

func toPage(r response) (eventstore.Page, error) {
	events, err := fromProtos(r.GetEvents())
	if err != nil {
		return eventstore.Page{}, err
	}
	page := eventstore.Page{Events: events, Next: eventstore.Cursor(r.GetNextCursor()), Epoch: r.GetEpoch(), AtHead: r.GetAtHead()}
	if !page.AtHead { // 0 at the head only, also where an older server does not tell it
		page.Remaining = max(r.GetRemaining(), 1)
	}
	return page, nil
}

// ReadStream reads as eventstore.StreamReader says. A response is bounded by
// its size too, so a short one is no sign of the stream's end: the next is asked for.
func (c *Client) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	return c.readStream(ctx, &eventlogv1.ReadStreamRequest{Stream: stream, FromVersion: from}, limit)
}

// ReadStreamUntil reads the same, and only the events before the first one, of
// those from the version on, that occurred later than until.
func (c *Client) ReadStreamUntil(ctx context.Context, stream string, from int64, limit int, until time.Time) ([]eventstore.Event, error) {
	return c.readStream(ctx, &eventlogv1.ReadStreamRequest{Stream: stream, FromVersion: from, Until: timestamppb.New(until)}, limit)
}

func (c *Client) readStream(ctx context.Context, request *eventlogv1.ReadStreamRequest, limit int) ([]eventstore.Event, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	from := max(request.GetFromVersion(), 1)
	var all []eventstore.Event
	for len(all) < limit {
		request.FromVersion, request.Limit = from+int64(len(all)), bounded(limit-len(all))
		events, err := c.readStreamOnce(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("read stream: %w", err)
		}
		if len(events) == 0 {
			break
		}
		all = append(all, events...)
	}
	return all, nil
}

func (c *Client) readStreamOnce(ctx context.Context, request *eventlogv1.ReadStreamRequest) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.service.ReadStream(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, fromError(err)
	}
	return fromProtos(response.Msg.GetEvents())
}

func bounded(limit int) int32 { return int32(min(max(limit, 0), maxLimit)) }
