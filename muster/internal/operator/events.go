package operator

import (
	"context"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/platform/overview"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// largestPage is how many events a page has at most.
const largestPage = 500

// accounts is the service that has them.
const accounts = "identity"

// Events shows events of all logs, the newest first: at most so many, all for 0.
// Where a service does not answer, it shows those of the others, and gives a
// *ServiceError in the end. Errors besides: those of show.
func (c *Client) Events(ctx context.Context, request *musterv1.ListEventsRequest, most int, show func(*musterv1.RecordedEvent) error) error {
	var at overview.Places
	missing := map[string]error{}
	for shown := 0; ; {
		asked := proto.CloneOf(request)
		asked.PageSize = largestPage
		if most > 0 {
			asked.PageSize = int32(min(most-shown, largestPage)) //nolint:gosec // it is bounded
		}
		page, err := c.events.List(ctx, asked, at)
		if err != nil {
			return ofLog(err)
		}
		for _, log := range page.Missing {
			missing[log.Log] = from(log.Log, log.Err)
		}
		for _, event := range page.Events {
			if err := show(event); err != nil {
				return err
			}
		}
		if shown, at = shown+len(page.Events), page.Next; at == nil || most > 0 && shown >= most {
			break
		}
	}
	var all error
	for _, service := range keepers {
		all = errors.Join(all, missing[service])
	}
	return all
}

// ofLog gives the error of a log's service as ours.
func ofLog(err error) error {
	var of *overview.LogError
	if errors.As(err, &of) {
		return from(of.Log, of.Err)
	}
	return err
}

// Tailing says what is shown while it happens.
type Tailing struct {
	// Request has the filters.
	Request *musterv1.WatchEventsRequest
	// Before is how many events that were there already are shown first.
	Before int
	// Away is told once that a service cannot tell at present, Back that it can again.
	Away func(error)
	Back func()
}

// Tail shows events as they happen, until ctx ends, whose error it then gives. A
// service that is away is waited for: no event is left out, and none comes twice.
// Errors besides: those of show, and *ServiceError where a service refuses.
func (c *Client) Tail(ctx context.Context, what Tailing, show func(*musterv1.RecordedEvent) error) error {
	var at overview.Places
	var known map[string]bool // of those that were there already
	var failed error          // ours, not a service's
	away := false
	take := func(events []*musterv1.RecordedEvent, places overview.Places) error {
		if away {
			away = false
			what.Back()
		}
		if at == nil { // what comes from here on comes after what is there
			if known, failed = c.before(ctx, what, show); failed != nil {
				return failed
			}
		}
		for _, event := range events {
			if known[event.GetId()] {
				continue
			}
			if failed = show(event); failed != nil {
				return failed
			}
		}
		at = places
		return nil
	}
	for retry := (backoff.Backoff{}); ; {
		began := time.Now()
		err := c.events.Watch(ctx, what.Request, at, take)
		var of *overview.LogError
		switch {
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil: // the service stops, or one has watched for long
		case !errors.As(err, &of) || !of.Silent():
			return ofLog(err)
		case !away:
			away = true
			what.Away(ofLog(err))
		}
		retry.Worked(began)
		if err := retry.Pause(ctx); err != nil {
			return err
		}
	}
}

// before shows the newest of the events that are there, the oldest first.
func (c *Client) before(ctx context.Context, what Tailing, show func(*musterv1.RecordedEvent) error) (known map[string]bool, err error) {
	known = make(map[string]bool, what.Before)
	if what.Before <= 0 {
		return known, nil
	}
	var there []*musterv1.RecordedEvent
	request := &musterv1.ListEventsRequest{
		Log: what.Request.GetLog(), Stream: what.Request.GetStream(), Types: what.Request.GetTypes(), Sensitive: what.Request.GetSensitive(),
	}
	if err := c.Events(ctx, request, what.Before, func(event *musterv1.RecordedEvent) error {
		there = append(there, event)
		return nil
	}); err != nil {
		return nil, err
	}
	for _, event := range slices.Backward(there) {
		known[event.GetId()] = true
		if err := show(event); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// UserHistory shows what happened to an account, page by page, the oldest first;
// each page has the account as it stood. Errors: *ServiceError, those of show.
func (c *Client) UserHistory(ctx context.Context, request *musterv1.GetUserHistoryRequest, show func(*musterv1.GetUserHistoryResponse) error) error {
	asked := proto.CloneOf(request)
	for asked.PageSize = largestPage; ; {
		page, err := c.history(ctx, asked)
		if err != nil {
			return err
		}
		if err := show(page); err != nil {
			return err
		}
		if asked.PageToken = page.GetNextPageToken(); asked.GetPageToken() == "" {
			return nil
		}
	}
}

func (c *Client) history(ctx context.Context, request *musterv1.GetUserHistoryRequest) (*musterv1.GetUserHistoryResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := c.events.Views[accounts].GetUserHistory(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, from(accounts, err)
	}
	return answer.Msg, nil
}
