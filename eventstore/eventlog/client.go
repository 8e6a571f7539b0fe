package eventlog

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

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

var _ Reader = (*Client)(nil)

// NewClient reads through the service's client.
func NewClient(service eventlogv1connect.EventLogServiceClient) *Client {
	return &Client{service: service}
}

// ReadLog reads as eventstore.LogReader says, at most 30 seconds of waiting and
// 5000 events at once.
func (c *Client) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	wait = min(max(wait, 0), maxWait)
	ctx, cancel := context.WithTimeout(ctx, wait+callTimeout)
	defer cancel()
	response, err := c.service.ReadLog(ctx, connect.NewRequest(&eventlogv1.ReadLogRequest{
		Cursor: string(after), Limit: bounded(limit), WaitMs: int32(wait.Milliseconds()),
	}))
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", fromError(err))
	}
	events, err := fromProtos(response.Msg.GetEvents())
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", err)
	}
	return eventstore.Page{
		Events: events, Next: eventstore.Cursor(response.Msg.GetNextCursor()),
		Epoch: response.Msg.GetEpoch(), AtHead: response.Msg.GetAtHead(), Remaining: remaining(response.Msg),
	}, nil
}

// remaining is 0 at the head only, also where an older server does not tell it.
func remaining(page *eventlogv1.ReadLogResponse) int64 {
	if page.GetAtHead() {
		return 0
	}
	return max(page.GetRemaining(), 1)
}

// ReadStream reads as eventstore.StreamReader says. A response is bounded by
// its size too, so a short one is no sign of the stream's end: the next is asked for.
func (c *Client) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	from = max(from, 1)
	var all []eventstore.Event
	for len(all) < limit {
		events, err := c.readStreamOnce(ctx, stream, from+int64(len(all)), limit-len(all))
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

func (c *Client) readStreamOnce(ctx context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.service.ReadStream(ctx, connect.NewRequest(&eventlogv1.ReadStreamRequest{
		Stream: stream, FromVersion: from, Limit: bounded(limit),
	}))
	if err != nil {
		return nil, fromError(err)
	}
	return fromProtos(response.Msg.GetEvents())
}

func bounded(limit int) int32 { return int32(min(max(limit, 0), maxLimit)) }
