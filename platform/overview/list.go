package overview

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// defaultSize is how many events a page has where nobody says.
	defaultSize = 50
	// answerBytes bounds the events of one page; a single one may be larger.
	answerBytes = 3 << 20
)

// Logs are event logs, as their services show them.
type Logs struct {
	// Views of each log, by its name.
	Views map[string]eventlogv1connect.EventViewServiceClient
	// Timeout bounds one call of a service, and how long one that is to be watched
	// takes to begin.
	Timeout time.Duration
}

// LogError is what the service of a log has answered, or that it has not.
type LogError struct {
	// Log is its name, and that of its service.
	Log string
	// Err is the error of the call.
	Err error
}

// Error names the log.
func (e *LogError) Error() string { return fmt.Sprintf("log %s: %v", e.Log, e.Err) }

// Unwrap gives the error of the call.
func (e *LogError) Unwrap() error { return e.Err }

// Silent tells whether the service did not answer, rather than refuse.
func (e *LogError) Silent() bool {
	switch reason.Of(e.Err) {
	case musterv1.Reason_REASON_UNSPECIFIED, musterv1.Reason_REASON_UNAVAILABLE, musterv1.Reason_REASON_UNIMPLEMENTED, musterv1.Reason_REASON_DEADLINE_EXCEEDED:
		return true
	}
	return false
}

// Page is a page of events.
type Page struct {
	// Events, the newest first: by the time where they are of different logs, in
	// the order of the log where they are of one. Where a service finds less than it
	// did a moment before, older ones of others stand in front of its next ones.
	Events []*musterv1.RecordedEvent
	// Next is where the next page goes on; nil after the last.
	Next Places
	// Missing are the logs that the page is without, as their services did not
	// answer. Their places stay as long as there is a next page.
	Missing []*LogError
}

// part is what one log gives to a page.
type part struct {
	log, from string
	// events that its service has answered last, and where it goes on after them.
	events []*musterv1.RecordedEvent
	next   string
	asked  bool
	err    *LogError
	// taken is how many of the events the page has.
	taken int
}

// over tells that all is taken of what is known, while the log has more: what
// comes next in time is not known then.
func (p *part) over() bool { return p.taken == len(p.events) && p.next != "" }

// List gives a page. The request's own page token is not looked at.
//
// Errors: *LogError, what a service refuses, or that none has answered;
// INVALID_ARGUMENT for a log that is not there.
func (l Logs) List(ctx context.Context, request *musterv1.ListEventsRequest, from Places) (Page, error) {
	names, err := l.named(request.GetLog())
	if err != nil {
		return Page{}, err
	}
	if from != nil { // the others have ended
		names = slices.DeleteFunc(names, func(name string) bool { _, on := from[name]; return !on })
	}
	asked := proto.CloneOf(request)
	if asked.GetPageSize() <= 0 {
		asked.PageSize = defaultSize
	}
	parts := make([]*part, len(names))
	for i, name := range names {
		parts[i] = &part{log: name, from: from[name], taken: int(asked.GetPageSize())}
	}
	if len(parts) > 1 {
		looked := proto.CloneOf(asked)
		looked.Sensitive = false
		l.ask(ctx, parts, looked)
		merge(parts, int(asked.GetPageSize()), answerBytes)
	}
	var exact []*part
	for _, p := range parts {
		whole := p.asked && p.taken == len(p.events)
		if p.err == nil && p.taken > 0 && (!whole || asked.GetSensitive()) {
			exact = append(exact, p)
		}
	}
	l.ask(ctx, exact, asked)
	if err := ctx.Err(); err != nil { // it says nothing of the services
		return Page{}, err
	}
	return pageOf(parts)
}

// named are the logs that a request is about.
func (l Logs) named(log string) ([]string, error) {
	all := slices.Sorted(maps.Keys(l.Views))
	switch {
	case log == "":
		return all, nil
	case slices.Contains(all, log):
		return []string{log}, nil
	}
	return nil, reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field("log"), reason.Message("There is no such log: there are "+strings.Join(all, " and ")))
}

// ask asks for as many events of each log as are to be taken, at once.
func (l Logs) ask(ctx context.Context, parts []*part, request *musterv1.ListEventsRequest) {
	var asked sync.WaitGroup
	for _, p := range parts {
		of := proto.CloneOf(request)
		of.PageSize, of.PageToken = int32(p.taken), p.from //nolint:gosec // as many as were asked for
		asked.Go(func() {
			limited, cancel := context.WithTimeout(ctx, l.Timeout)
			defer cancel()
			response, err := l.Views[p.log].ListEvents(limited, connect.NewRequest(of))
			if err != nil {
				*p = part{log: p.log, from: p.from, err: &LogError{Log: p.log, Err: err}}
				return
			}
			events := response.Msg.GetEvents()
			*p = part{log: p.log, from: p.from, asked: true, events: events, next: response.Msg.GetNextPageToken(), taken: len(events)}
		})
	}
	asked.Wait()
}

// merge gives a page's events in order, at most so many and of so many bytes, and
// notes how many of each log they are.
func merge(parts []*part, size, most int) (events []*musterv1.RecordedEvent) {
	for _, p := range parts {
		p.taken = 0
	}
	for bytes := 0; len(events) < size; {
		var newest *part
		for _, p := range parts {
			switch {
			case p.over():
				return events
			case p.taken == len(p.events):
			case newest == nil || p.head().After(newest.head()):
				newest = p
			}
		}
		if newest == nil {
			return events
		}
		event := newest.events[newest.taken]
		if bytes += proto.Size(event); bytes > most && len(events) > 0 {
			return events
		}
		events = append(events, event)
		newest.taken++
	}
	return events
}

// head is when the first event that is not taken occurred.
func (p *part) head() time.Time { return p.events[p.taken].GetOccurredAt().AsTime() }

// pageOf makes a page of what is taken.
func pageOf(parts []*part) (Page, error) {
	page, places, more := Page{}, Places{}, false
	var shown []*part
	for _, p := range parts {
		switch {
		case p.err != nil && !p.err.Silent():
			return Page{}, p.err
		case p.err != nil:
			page.Missing = append(page.Missing, p.err)
			places[p.log] = p.from
		case p.taken < len(p.events): // it was looked at only: what is taken was asked for again
			places[p.log], more = p.from, true
		default:
			shown = append(shown, &part{events: p.events})
			if p.next != "" {
				places[p.log], more = p.next, true
			}
		}
	}
	if len(parts) > 0 && len(page.Missing) == len(parts) {
		return Page{}, page.Missing[0]
	}
	if more {
		page.Next = places
	}
	page.Events = merge(shown, math.MaxInt, math.MaxInt)
	return page, nil
}
