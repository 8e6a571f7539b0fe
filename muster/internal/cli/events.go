package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/muster/internal/operator"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

type events struct {
	List   eventsList   `cmd:"" help:"Show events of all logs, the newest first."`
	Tail   eventsTail   `cmd:"" help:"Show the last events, then those that happen, until Ctrl-C."`
	Stream eventsStream `cmd:"" help:"Show all events of one stream, the oldest first."`
	User   eventsUser   `cmd:"" help:"Show an account as it stood at a time, and what had happened to it."`
}

// shown says how events are shown.
type shown struct {
	Sensitive bool `help:"Show personal data too: names, addresses. That you were shown it is recorded."`
	answered
	place
}

// Validate looks at the place.
func (s shown) Validate() error { return s.place.Validate() }

// open begins a command: what it calls, and what ends with Ctrl-C.
func (s shown) open() (client *operator.Client, ctx context.Context, end func(), err error) {
	if client, err = s.place.open(); err != nil {
		return nil, nil, nil, err
	}
	ctx, stop := untilInterrupted()
	return client, ctx, func() { stop(); client.Close() }, nil
}

// event shows one.
func (s shown) event(streams streams) func(*musterv1.RecordedEvent) error {
	return func(event *musterv1.RecordedEvent) error {
		return s.answer(streams.out, event, func() error {
			_, err := fmt.Fprintln(streams.out, eventLine(event))
			return err
		})
	}
}

// chosen says which events are shown.
type chosen struct {
	Log    filter  `help:"Of this log only: identity or media." placeholder:"LOG"`
	Stream filter  `help:"Of this stream only, or of those whose names begin so, for example user-." placeholder:"NAME"`
	Type   filters `help:"Of these types only, each a full name or the last part of one, for example PasswordSet." placeholder:"TYPE"`
}

// filter is a text that is given or not, but not empty: a variable of a shell that
// was not set would else show everything.
type filter string

var errFilter = errors.New("it is empty; leave the flag out for no such filter")

// UnmarshalText takes it as it is.
func (f *filter) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errFilter
	}
	*f = filter(text)
	return nil
}

// filters are some, each with a flag of its own or with commas between.
type filters []string

// UnmarshalText adds those of one flag.
func (f *filters) UnmarshalText(text []byte) error {
	for one := range strings.SplitSeq(string(text), ",") {
		if one == "" {
			return errFilter
		}
		*f = append(*f, one)
	}
	return nil
}

// moment is a time: as RFC 3339 has it, a day, or how long ago. It is the zero time
// where none is given.
type moment struct{ time.Time }

var errMoment = errors.New("a time is 2026-03-02T10:05:00Z, or 2026-03-02, or 90m for so long ago")

// UnmarshalText reads one.
func (m *moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			m.Time = at
			return nil
		}
	}
	return errMoment
}

// timestamp is nil for none.
func (m moment) timestamp() *timestamppb.Timestamp {
	if m.IsZero() {
		return nil
	}
	return timestamppb.New(m.Time)
}

type eventsList struct {
	chosen
	Actor filter `help:"Done by this one only, for example user-0199…" placeholder:"WHO"`
	Since moment `help:"Not before this time: 2026-03-02T10:05:00Z, 2026-03-02, or 90m for so long ago." placeholder:"TIME"`
	Until moment `help:"Before this time." placeholder:"TIME"`
	Limit int    `help:"At most so many; 0 for all." default:"50" placeholder:"N"`
	shown
}

// Validate looks at the number too.
func (c *eventsList) Validate() error {
	if c.Limit < 0 {
		return errors.New("--limit is 0 for all, or how many")
	}
	if !c.Since.IsZero() && !c.Until.IsZero() && !c.Since.Before(c.Until.Time) {
		return errors.New("--until is not after --since: there is no time between them")
	}
	return c.shown.Validate()
}

// Run shows those of all services that answer, and fails where one does not.
func (c *eventsList) Run(streams streams) error {
	client, ctx, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	return unlessInterrupted(ctx, client.Events(ctx, &musterv1.ListEventsRequest{
		Log: string(c.Log), Stream: string(c.Stream), Types: c.Type, Actor: string(c.Actor), Sensitive: c.Sensitive,
		Since: c.Since.timestamp(), Until: c.Until.timestamp(),
	}, c.Limit, c.event(streams)))
}

type eventsTail struct {
	chosen
	Last int `help:"Begin with so many events of before." default:"10" placeholder:"N"`
	shown
}

// Validate looks at the number too.
func (c *eventsTail) Validate() error {
	if c.Last < 0 {
		return errors.New("--last is 0 for none, or how many")
	}
	return c.shown.Validate()
}

// Run shows events until Ctrl-C, also through outages.
func (c *eventsTail) Run(streams streams) error {
	client, ctx, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	err = client.Tail(ctx, operator.Tailing{
		Request: &musterv1.WatchEventsRequest{Log: string(c.Log), Stream: string(c.Stream), Types: c.Type, Sensitive: c.Sensitive},
		Before:  c.Last,
		Away:    func(err error) { say(streams.err, "%s; trying again", strings.TrimSuffix(err.Error(), ".")) },
		Back:    func() { say(streams.err, "it answers again") },
	}, c.event(streams))
	if ctx.Err() != nil { // it has no other end
		return nil
	}
	return err
}

type eventsStream struct {
	Name string `arg:"" name:"id" help:"Name of the stream, for example user-0199…"`
	shown
}

// Run shows the stream once it is read: the services list from the end.
func (c *eventsStream) Run(streams streams) error {
	client, ctx, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	var all []*musterv1.RecordedEvent
	err = client.Events(ctx, &musterv1.ListEventsRequest{Stream: c.Name, Sensitive: c.Sensitive}, 0, func(event *musterv1.RecordedEvent) error {
		if event.GetStream() == c.Name { // where there is none, names that begin so are found
			all = append(all, event)
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		return fmt.Errorf("there is no stream %s: `muster events list%s` shows the names of streams", c.Name, c.again())
	}
	show := c.event(streams)
	for i := len(all) - 1; i >= 0; i-- {
		if err := show(all[i]); err != nil {
			return err
		}
	}
	return unlessInterrupted(ctx, err)
}

type eventsUser struct {
	Name string `arg:"" help:"The account's id, or the username or email address that it has now."`
	At   moment `help:"As it stood at this time: 2026-03-02T10:05:00Z, 2026-03-02, or 90m for so long ago; now if not given." placeholder:"TIME"`
	shown
}

// Run shows the account, then its events up to that time.
func (c *eventsUser) Run(streams streams) error {
	client, ctx, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	request := &musterv1.GetUserHistoryRequest{At: c.At.timestamp(), Sensitive: c.Sensitive}
	if id := strings.TrimPrefix(c.Name, "user-"); uuid.Validate(id) == nil {
		request.User = &musterv1.GetUserHistoryRequest_UserId{UserId: id}
	} else {
		request.User = &musterv1.GetUserHistoryRequest_LoginName{LoginName: c.Name}
	}
	first, show := true, c.event(streams)
	err = client.UserHistory(ctx, request, func(page *musterv1.GetUserHistoryResponse) error {
		if first {
			first = false
			account := &musterv1.GetUserHistoryResponse{Account: page.GetAccount(), Erased: page.GetErased()}
			if err := c.answer(streams.out, account, func() error { return writeAccount(streams.out, account, c.At.Time) }); err != nil {
				return err
			}
		}
		for _, event := range page.GetEvents() {
			if err := show(event); err != nil {
				return err
			}
		}
		return nil
	})
	if connect.CodeOf(err) == connect.CodeNotFound {
		err = fmt.Errorf("%s: %w", clean(c.Name), err)
	}
	return unlessInterrupted(ctx, err)
}

// unlessInterrupted tells Ctrl-C from a failure.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exitError(statusInterrupted)
	}
	return err
}
