package eventlog_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

// beat is a heartbeat for tests that wait for one.
const beat = 50 * time.Millisecond

var errEnough = errors.New("enough")

// serveAs serves a log by a handler, on a server of HTTP/2.
func serveAs(t *testing.T, handler *eventlog.Handler) (eventlogv1connect.EventLogServiceClient, *httptest.Server) {
	t.Helper()
	_, mux := eventlogv1connect.NewEventLogServiceHandler(handler)
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return eventlogv1connect.NewEventLogServiceClient(server.Client(), server.URL,
		connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil)), server
}

func event(kind string) eventstore.Event {
	return eventstore.Event{
		ID: uuid.Must(uuid.NewV7()), Type: "test.v1." + kind, SchemaVersion: 1, OccurredAt: time.Now(), Payload: []byte(`{}`),
	}
}

func (s served) mustAppend(t testing.TB, stream string, events ...eventstore.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: events}); err != nil {
		t.Fatal(err)
	}
}

func chooses(filter eventstore.Filter, event eventstore.Event) bool {
	return strings.HasPrefix(event.Stream, filter.Stream) && (len(filter.Types) == 0 || slices.Contains(filter.Types, event.Type))
}

// brittle is a connection that breaks after a number of bytes received.
type brittle struct {
	net.Conn
	left atomic.Int64
}

func (b *brittle) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		_ = b.Close()
		return 0, errors.New("cut")
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.Add(-int64(n))
	return n, err
}

// Connections break in the middle of pages, of frames and of handshakes, while
// writers append: each follower sees each event that its filter chooses once,
// and those of a stream in their order.
func TestNothingIsSkippedOrDoubledWhenConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	_, server := serveAs(t, eventlog.NewHandler(s.log))
	const writers, appends = 4, 40
	kinds := []string{"Opened", "Moved", "Closed"}
	var mu sync.Mutex
	var written []eventstore.Event
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range appends {
				events := make([]eventstore.Event, 1+i%3)
				for e := range events {
					events[e] = event(kinds[(w+i+e)%len(kinds)])
					events[e].Sealed, events[e].KeyID = make([]byte, 100+50*e), uuid.NewString()
				}
				stream := fmt.Sprintf("%s-%d", []string{"user", "file"}[i%2], i%5)
				appended, err := s.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: events})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for e := range events {
					events[e].Stream, events[e].Version = stream, appended.Position.Version-int64(len(events)-1-e)
					written = append(written, events[e])
				}
				mu.Unlock()
			}
		})
	}
	type outcome struct {
		filter eventstore.Filter
		seen   []eventstore.Event
		cuts   int
		err    error
	}
	outcomes := []*outcome{
		{},
		{filter: eventstore.Filter{Stream: "user-"}},
		{filter: eventstore.Filter{Types: []string{"test.v1.Moved", "test.v1.Last"}}},
	}
	var following sync.WaitGroup
	for i, o := range outcomes {
		following.Go(func() {
			transport, ok := server.Client().Transport.(*http.Transport)
			if !ok {
				o.err = errors.New("the server's client has another transport")
				return
			}
			transport = transport.Clone()
			defer transport.CloseIdleConnections()
			transport.ForceAttemptHTTP2 = true
			cuts := mathrand.New(mathrand.NewPCG(uint64(i), 7)) //nolint:gosec // where to cut, the same in each run
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				broken := &brittle{Conn: conn}
				broken.left.Store(1000 + cuts.Int64N(20_000)) // a handshake takes some 1500, the smallest share of the log 40,000
				return broken, nil
			}
			client := eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(&http.Client{Transport: transport}, server.URL,
				connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil)))
			o.err = client.Follow(t.Context(), eventlog.Following{
				Filter: o.filter, Limit: 1 + i*20, Lost: func(error) { o.cuts++ },
			}, func(_ context.Context, page eventstore.Page) error {
				for _, event := range page.Events {
					if event.Type == "test.v1.Last" {
						return errEnough
					}
					o.seen = append(o.seen, event)
				}
				return nil
			})
		})
	}
	writing.Wait()
	s.mustAppend(t, "user-last", event("Last"))
	following.Wait()
	for _, o := range outcomes {
		if !errors.Is(o.err, errEnough) {
			t.Errorf("%+v: %v", o.filter, o.err)
		}
		if o.cuts == 0 {
			t.Errorf("%+v: the connection was never cut", o.filter)
		}
		want := map[uuid.UUID]bool{}
		for _, event := range written {
			if chooses(o.filter, event) {
				want[event.ID] = true
			}
		}
		if len(o.seen) != len(want) {
			t.Errorf("%+v: %d events in spite of %d cuts, want %d", o.filter, len(o.seen), o.cuts, len(want))
		}
		at := map[string]int64{}
		for _, event := range o.seen {
			if !want[event.ID] {
				t.Errorf("%+v: event %d of %s is not chosen, or comes twice", o.filter, event.Version, event.Stream)
			}
			delete(want, event.ID)
			if event.Version <= at[event.Stream] {
				t.Errorf("%+v: version %d of %s after %d", o.filter, event.Version, event.Stream, at[event.Stream])
			}
			at[event.Stream] = event.Version
		}
	}
}

func TestAFollowerFromNowOnSeesNothingOfBefore(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	s.mustAppend(t, "thing-1", event("Before"), event("Before"))
	pages := 0
	err := s.Follow(t.Context(), eventlog.Following{FromNow: true}, func(_ context.Context, page eventstore.Page) error {
		switch pages++; {
		case pages == 1:
			if len(page.Events) != 0 || !page.AtHead || page.Next == "" || page.Epoch != s.log.Epoch() {
				t.Errorf("the first page is %+v", page)
			}
			s.mustAppend(t, "thing-1", event("After"))
		case len(page.Events) > 0:
			if len(page.Events) != 1 || page.Events[0].Version != 3 {
				t.Errorf("then came %+v", page.Events)
			}
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func TestAFollowerHearsThatTheLogIsThere(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	raw, _ := serveAs(t, eventlog.NewHandler(s.log).With(beat, 1))
	var cursors []eventstore.Cursor
	err := eventlog.NewClient(raw).Follow(t.Context(), eventlog.Following{}, func(_ context.Context, page eventstore.Page) error {
		if len(page.Events) > 0 || !page.AtHead || page.Next == "" {
			t.Errorf("a page of an empty log: %+v", page)
		}
		if cursors = append(cursors, page.Next); len(cursors) == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	s.mustAppend(t, "thing-1", event("Happened"))
	for i, cursor := range cursors {
		page, err := s.ReadLog(t.Context(), cursor, 10, 0)
		if err != nil || len(page.Events) != 1 {
			t.Errorf("after heartbeat %d: %d events, %v; want 1", i, len(page.Events), err)
		}
	}
}

// A filter that leaves nearly everything out must not silence the stream either.
func TestAFollowerHearsOfALongSearch(t *testing.T) {
	t.Parallel()
	raw, _ := serveAs(t, eventlog.NewHandler(&barren{}).With(beat, 1))
	var last eventstore.Cursor
	pages := 0
	err := eventlog.NewClient(raw).Follow(t.Context(), eventlog.Following{Filter: eventstore.Filter{Stream: "nobody"}}, func(_ context.Context, page eventstore.Page) error {
		if page.AtHead || page.Next == last || page.Remaining == 0 {
			t.Errorf("page %d after %s: %+v", pages, last, page)
		}
		last = page.Next
		if pages++; pages == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// barren is a log without an end, in which nothing is chosen.
type barren struct {
	eventlog.Reader
	reads atomic.Int64
}

func (b *barren) ReadMatching(ctx context.Context, _ eventstore.Filter, _ eventstore.Cursor, _ int, _ time.Duration) (eventstore.Page, error) {
	return eventstore.Page{Next: eventstore.Cursor(fmt.Sprint(b.reads.Add(1))), Epoch: 1, Remaining: 1}, ctx.Err()
}

// The first events that are chosen may lie behind pages of others.
func TestAFilteredReadGoesOnByItself(t *testing.T) {
	t.Parallel()
	client, _ := serveAs(t, eventlog.NewHandler(&sparse{}))
	page, err := eventlog.NewClient(client).ReadMatching(t.Context(), eventstore.Filter{Stream: "rare"}, "", 10, 0)
	if err != nil || len(page.Events) != 1 || page.Next != "5" {
		t.Errorf("%d events up to %s, %v; want 1 up to 5", len(page.Events), page.Next, err)
	}
}

// sparse has an event in its fifth page.
type sparse struct{ eventlog.Reader }

func (sparse) ReadMatching(_ context.Context, filter eventstore.Filter, after eventstore.Cursor, _ int, _ time.Duration) (eventstore.Page, error) {
	at := 0
	_, _ = fmt.Sscan(string(after), &at) // 0 at the beginning
	page := eventstore.Page{Next: eventstore.Cursor(fmt.Sprint(at + 1)), Epoch: 1, Remaining: 1}
	if at == 4 {
		found := event("Found")
		found.Stream, found.Version = filter.Stream, 1
		page.Events = []eventstore.Event{found}
	}
	return page, nil
}

func TestWhoFollowsIsLetGoAtShutdownAndGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	leaving := make(chan struct{})
	stopping, other := eventlog.NewHandler(eventlog.Patient(s.log, leaving)), eventlog.NewHandler(s.log)
	var present atomic.Pointer[http.Handler]
	_, mux := eventlogv1connect.NewEventLogServiceHandler(stopping)
	present.Store(&mux)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*present.Load()).ServeHTTP(w, r) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(server.Client(), server.URL, connect.WithGRPC()))
	pages := 0
	var lost []error
	err := client.Follow(t.Context(), eventlog.Following{Lost: func(err error) {
		lost = append(lost, err)
		_, mux := eventlogv1connect.NewEventLogServiceHandler(other)
		present.Store(&mux)
		s.mustAppend(t, "thing-1", event("Happened"))
	}}, func(_ context.Context, page eventstore.Page) error {
		if pages++; pages == 1 {
			close(leaving)
		}
		if len(page.Events) > 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || len(lost) != 1 || lost[0] != nil {
		t.Errorf("%v, after it was lost by %v; want one end without an error", err, lost)
	}
}

func TestWhoFollowsIsToldThatTheEpochChanged(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	raw, _ := serveAs(t, eventlog.NewHandler(s.log).With(beat, 1))
	s.mustAppend(t, "thing-1", event("Happened"))
	rebased := false
	err := eventlog.NewClient(raw).Follow(t.Context(), eventlog.Following{}, func(ctx context.Context, page eventstore.Page) error {
		if rebased && len(page.Events) > 0 {
			t.Error("events of a former epoch came after the new one")
		}
		if !rebased {
			rebased = true
			_, err := s.log.Rebase(ctx, "a test")
			return err
		}
		return nil
	})
	if !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("%v, want ErrEpochChanged", err)
	}
	err = s.Follow(t.Context(), eventlog.Following{After: "x"}, func(context.Context, eventstore.Page) error { return nil })
	if !errors.Is(err, eventstore.ErrCursorInvalid) {
		t.Errorf("a cursor of nobody: %v, want ErrCursorInvalid", err)
	}
}

func TestOnlySoManyFollowAtOnce(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	raw, _ := serveAs(t, eventlog.NewHandler(s.log).With(beat, 1))
	client := eventlog.NewClient(raw)
	first, leave := context.WithCancel(t.Context())
	defer leave()
	followed, left := make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		left <- client.Follow(first, eventlog.Following{}, func(context.Context, eventstore.Page) error {
			once.Do(func() { close(followed) })
			return nil
		})
	}()
	<-followed
	refused := 0
	err := client.Follow(t.Context(), eventlog.Following{Lost: func(err error) {
		refused++
		if connect.CodeOf(err) != connect.CodeResourceExhausted && refused == 1 {
			t.Errorf("%v, want resource_exhausted", err)
		}
		leave()
	}}, func(context.Context, eventstore.Page) error { return errEnough })
	if !errors.Is(err, errEnough) || refused == 0 {
		t.Errorf("%v after %d refusals, want a place once the other has left", err, refused)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left was told %v", err)
	}
}

// A consumer that takes nothing holds up its own stream, and not more of it than
// the transport's window takes.
func TestAConsumerThatTakesNothingCostsAWindow(t *testing.T) {
	t.Parallel()
	log := &flood{read: make(chan struct{}, 1000)}
	raw, _ := serveAs(t, eventlog.NewHandler(log))
	const window = 16 // pages of 1 MiB; the window of a stream is 4 MiB
	err := eventlog.NewClient(raw).Follow(t.Context(), eventlog.Following{}, func(context.Context, eventstore.Page) error {
		pages := 1
		for still := time.NewTimer(time.Second); ; {
			select {
			case <-log.read:
				if pages++; pages > window {
					t.Errorf("%d pages were read for a consumer that takes none", pages)
					return errEnough
				}
				still.Reset(time.Second)
			case <-still.C:
				return errEnough
			}
		}
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// flood has no end of pages of 1 MiB.
type flood struct {
	eventlog.Reader
	read chan struct{}
}

func (f *flood) ReadMatching(ctx context.Context, _ eventstore.Filter, _ eventstore.Cursor, _ int, _ time.Duration) (eventstore.Page, error) {
	heavy := event("Heavy")
	heavy.Stream, heavy.Version, heavy.Sealed = "thing-1", 1, make([]byte, 1<<20)
	_, _ = rand.Read(heavy.Sealed) // never fails; nothing to be packed
	select {
	case f.read <- struct{}{}:
	case <-ctx.Done():
	}
	return eventstore.Page{Events: []eventstore.Event{heavy}, Next: "on", Epoch: 1, Remaining: 1}, ctx.Err()
}

func TestWhatTheHandlerOfPagesSaysIsTheEnd(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	calls := 0
	err := s.Follow(t.Context(), eventlog.Following{}, func(context.Context, eventstore.Page) error {
		calls++
		return connect.NewError(connect.CodeUnavailable, errEnough)
	})
	if !errors.Is(err, errEnough) || calls != 1 {
		t.Errorf("%v after %d calls, want its own error after 1", err, calls)
	}
}

// A stream's order is that of its versions. Clocks differ, so times may go back.
func TestAStreamIsReadUpToATime(t *testing.T) {
	t.Parallel()
	s := newServed(t)
	began := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	minutes := []int{0, 2, 1, 3, 2, 5, 4}
	events := make([]eventstore.Event, len(minutes))
	for i, minute := range minutes {
		events[i] = event("Happened")
		events[i].OccurredAt = began.Add(time.Duration(minute) * time.Minute)
	}
	s.mustAppend(t, "thing-1", events...)
	for from := 1; from <= len(minutes)+1; from++ {
		for limit := 1; limit <= len(minutes)+1; limit++ {
			for until := -1; until <= 6; until++ {
				var want, got []int64
				for version := from; version <= len(minutes) && len(want) < limit && minutes[version-1] <= until; version++ {
					want = append(want, int64(version))
				}
				read, err := s.ReadStreamUntil(t.Context(), "thing-1", int64(from), limit, began.Add(time.Duration(until)*time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				for _, event := range read {
					got = append(got, event.Version)
				}
				if !slices.Equal(got, want) {
					t.Errorf("from %d at most %d until minute %d: versions %v, want %v", from, limit, until, got, want)
				}
			}
		}
	}
	response, err := s.raw.ReadStream(t.Context(), connect.NewRequest(&eventlogv1.ReadStreamRequest{Stream: "thing-1"}))
	if err != nil || len(response.Msg.GetEvents()) != len(minutes) {
		t.Errorf("without a time: %d events, %v", len(response.Msg.GetEvents()), err)
	}
}
