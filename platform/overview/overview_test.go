package overview

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is one whose service is as the test says.
type log struct {
	eventlogv1connect.UnimplementedEventViewServiceHandler
	// events, the newest first.
	events []*musterv1.RecordedEvent
	// most is how many events a page has at most from a place on, as of a service that
	// has looked for long enough then; nil for as many as are asked for.
	most func(from int) int

	mu   sync.Mutex
	away error
	// disclosed are the ids of what was shown with what is personal.
	disclosed []string
	// watch serves who watches.
	watch func(context.Context, *musterv1.WatchEventsRequest, func(*musterv1.WatchEventsResponse) error) error
}

func (l *log) setAway(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = err
}

// ListEvents has the index of the next event for a page token.
func (l *log) ListEvents(_ context.Context, request *connect.Request[musterv1.ListEventsRequest]) (*connect.Response[musterv1.ListEventsResponse], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away != nil {
		return nil, l.away
	}
	// A token that has looked at nothing more has another name.
	text, tries, _ := strings.Cut(request.Msg.GetPageToken(), "+")
	from, _ := strconv.Atoi(text)
	size := int(request.Msg.GetPageSize())
	if l.most != nil {
		if size = min(size, l.most(from)); tries != "" {
			size = 1
		}
	}
	to := min(from+size, len(l.events))
	response := &musterv1.ListEventsResponse{Events: l.events[from:to]}
	if to < len(l.events) {
		response.NextPageToken = strconv.Itoa(to)
	}
	if size == 0 && tries == "" {
		response.NextPageToken += "+1"
	}
	if request.Msg.GetSensitive() {
		for _, event := range response.GetEvents() {
			l.disclosed = append(l.disclosed, event.GetId())
		}
	}
	return connect.NewResponse(response), nil
}

func (l *log) WatchEvents(ctx context.Context, request *connect.Request[musterv1.WatchEventsRequest], stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	return l.watch(ctx, request.Msg, stream.Send)
}

// newLogs serves logs.
func newLogs(t *testing.T, logs map[string]*log) Logs {
	t.Helper()
	all := Logs{Views: map[string]eventlogv1connect.EventViewServiceClient{}, Timeout: 10 * time.Second}
	for name, served := range logs {
		_, mux := eventlogv1connect.NewEventViewServiceHandler(served)
		server := httptest.NewUnstartedServer(mux)
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		all.Views[name] = eventlogv1connect.NewEventViewServiceClient(server.Client(), server.URL, connect.WithGRPC())
	}
	return all
}

// history makes events of a log, the newest first.
func history(random *rand.Rand, name string, n int) []*musterv1.RecordedEvent {
	var events []*musterv1.RecordedEvent
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for i := range n {
		at = at.Add(time.Duration(random.IntN(5)) * time.Second)
		events = append(events, &musterv1.RecordedEvent{Id: fmt.Sprintf("%s-%d", name, i), Log: name, OccurredAt: timestamppb.New(at)})
	}
	slices.Reverse(events)
	return events
}

func ids(events []*musterv1.RecordedEvent) []string {
	var all []string
	for _, event := range events {
		all = append(all, event.GetId())
	}
	return all
}

// walk gives the events of all pages, with the places through text and back.
func walk(t *testing.T, logs Logs, request *musterv1.ListEventsRequest) []*musterv1.RecordedEvent {
	t.Helper()
	var all []*musterv1.RecordedEvent
	var from Places
	for pages := 0; ; pages++ {
		page, err := logs.List(t.Context(), request, from)
		if err != nil || len(page.Missing) > 0 || len(page.Events) > int(request.GetPageSize()) || pages > 1000 {
			t.Fatalf("page %d has %d events: %v, %v", pages, len(page.Events), page.Missing, err)
		}
		all = append(all, page.Events...)
		if page.Next == nil {
			return all
		}
		if from, err = ParseCursor(page.Next.Cursor()); err != nil {
			t.Fatal(err)
		}
	}
}

// Pages of several logs give each event once, the newest first, however many a
// page has; and what is personal is asked for of those alone that a page has.
func TestPagesOfSeveralLogsAreOneList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 0))
		all := map[string]*log{"identity": {}, "media": {}, "third": {}}
		var want []*musterv1.RecordedEvent
		for _, name := range []string{"identity", "media", "third"} {
			all[name].events = history(random, name, random.IntN(30))
			want = append(want, all[name].events...)
		}
		slices.SortStableFunc(want, func(a, b *musterv1.RecordedEvent) int {
			return b.GetOccurredAt().AsTime().Compare(a.GetOccurredAt().AsTime())
		})
		request := &musterv1.ListEventsRequest{PageSize: int32(1 + random.IntN(20)), Sensitive: seed%2 == 0}
		got := walk(t, newLogs(t, all), request)
		if !slices.Equal(ids(got), ids(want)) {
			t.Fatalf("seed %d: pages of %d gave %v, want %v", seed, request.GetPageSize(), ids(got), ids(want))
		}
		for name, l := range all {
			if request.GetSensitive() && !slices.Equal(l.disclosed, ids(l.events)) {
				t.Errorf("seed %d: %s has disclosed %v", seed, name, l.disclosed)
			}
		}
	}
}

// A service that looks for a while gives fewer events than asked for, or none, and
// none of the others' is told before its.
func TestAPageWaitsForALogThatHasNotSaidAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		most := random.Perm(20)
		slow := &log{events: history(random, "identity", 20), most: func(from int) int { return most[from] % 4 }}
		fast := &log{events: history(random, "media", 20)}
		got := walk(t, newLogs(t, map[string]*log{"identity": slow, "media": fast}), &musterv1.ListEventsRequest{PageSize: 7})
		if len(got) != 40 || !slices.IsSortedFunc(got, func(a, b *musterv1.RecordedEvent) int {
			return b.GetOccurredAt().AsTime().Compare(a.GetOccurredAt().AsTime())
		}) {
			t.Fatalf("seed %d: %v", seed, ids(got))
		}
	}
}

// A log whose service is away is named, and comes later with all that it has; a
// refusal is the answer; where nobody answers, that is the error.
func TestALogThatIsAwayIsNamedAndComesLater(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	identity, media := &log{events: history(random, "identity", 10)}, &log{events: history(random, "media", 3)}
	logs := newLogs(t, map[string]*log{"identity": identity, "media": media})
	request := &musterv1.ListEventsRequest{PageSize: 5}
	away := connect.NewError(connect.CodeUnavailable, errors.New("away"))
	media.setAway(away)
	first, err := logs.List(t.Context(), request, nil)
	if err != nil || len(first.Events) != 5 || len(first.Missing) != 1 || first.Missing[0].Log != "media" {
		t.Fatalf("%v, %v, %v", ids(first.Events), first.Missing, err)
	}
	media.setAway(nil)
	rest, err := logs.List(t.Context(), &musterv1.ListEventsRequest{PageSize: 50}, first.Next)
	if err != nil || len(rest.Events) != 8 || rest.Next != nil || len(rest.Missing) != 0 {
		t.Errorf("%v, then %v, %v", ids(rest.Events), rest.Next, err)
	}
	media.setAway(away)
	if last, err := logs.List(t.Context(), &musterv1.ListEventsRequest{PageSize: 50}, nil); err != nil || last.Next != nil || len(last.Missing) != 1 {
		t.Errorf("a list never ends: %v, %v", last, err)
	}
	media.setAway(reason.New(musterv1.Reason_REASON_PAGE_TOKEN_INVALID))
	if _, err := logs.List(t.Context(), request, nil); reason.Of(err) != musterv1.Reason_REASON_PAGE_TOKEN_INVALID {
		t.Errorf("refused with %v", err)
	}
	media.setAway(away)
	identity.setAway(away)
	var of *LogError
	if _, err := logs.List(t.Context(), request, nil); !errors.As(err, &of) || !of.Silent() {
		t.Errorf("nobody answers, and %v", err)
	}
	if _, err := logs.List(t.Context(), &musterv1.ListEventsRequest{Log: "accounts"}, nil); reason.Of(err) != musterv1.Reason_REASON_INVALID_ARGUMENT || !strings.Contains(err.Error(), "identity and media") {
		t.Errorf("a log that is not there: %v", err)
	}
}

var errEnough = errors.New("enough")

// counting serves numbered events from a cursor on, and tells at each opening where.
func counting(name string, events int, opened chan<- string) *log {
	return &log{watch: func(ctx context.Context, request *musterv1.WatchEventsRequest, send func(*musterv1.WatchEventsResponse) error) error {
		opened <- request.GetCursor()
		at, _ := strconv.Atoi(request.GetCursor())
		if err := send(&musterv1.WatchEventsResponse{Cursor: strconv.Itoa(at)}); err != nil {
			return err
		}
		for at < events {
			at++
			if err := send(&musterv1.WatchEventsResponse{Events: []*musterv1.RecordedEvent{{Id: fmt.Sprintf("%s-%d", name, at)}}, Cursor: strconv.Itoa(at)}); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}}
}

// Whoever goes on from the last places misses no event of any log, and sees none
// twice.
func TestSeveralLogsAreWatchedAsOne(t *testing.T) {
	t.Parallel()
	opened := make(chan string, 100)
	logs := newLogs(t, map[string]*log{"identity": counting("identity", 20, opened), "media": counting("media", 7, opened)})
	seen := map[string]int{}
	var at Places
	for turn := 0; len(seen) < 27 && turn < 100; turn++ {
		told := 0
		err := logs.Watch(t.Context(), &musterv1.WatchEventsRequest{}, at, func(events []*musterv1.RecordedEvent, places Places) error {
			for _, event := range events {
				seen[event.GetId()]++
			}
			at = places
			if told += len(events); told >= 3 || len(seen) == 27 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
	if len(seen) != 27 {
		t.Errorf("%d events", len(seen))
	}
	if err := logs.Watch(t.Context(), &musterv1.WatchEventsRequest{Log: "media"}, at, nil); !errors.Is(err, ErrPlaces) {
		t.Errorf("places of other logs: %v", err)
	}
}

// Nothing is handed over before all logs have said where they are: places without
// one of them would go on past its events.
func TestNothingIsToldBeforeAllLogsHaveBegun(t *testing.T) {
	t.Parallel()
	opened := make(chan string, 1)
	logs := newLogs(t, map[string]*log{
		"identity": counting("identity", 1, opened),
		"media": {watch: func(ctx context.Context, _ *musterv1.WatchEventsRequest, _ func(*musterv1.WatchEventsResponse) error) error {
			<-ctx.Done()
			return ctx.Err()
		}},
	})
	logs.Timeout = 500 * time.Millisecond
	err := logs.Watch(t.Context(), &musterv1.WatchEventsRequest{}, nil, func(events []*musterv1.RecordedEvent, places Places) error {
		t.Errorf("told %v at %v", events, places)
		return nil
	})
	var of *LogError
	if !errors.As(err, &of) || of.Log != "media" || reason.Of(err) != musterv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("ended with %v", err)
	}
}

// When one log lets go, all end, and that is no error.
func TestWatchingEndsWhenALogLetsGo(t *testing.T) {
	t.Parallel()
	opened := make(chan string, 1)
	gone := make(chan struct{})
	logs := newLogs(t, map[string]*log{
		"identity": counting("identity", 0, opened),
		"media": {watch: func(_ context.Context, _ *musterv1.WatchEventsRequest, send func(*musterv1.WatchEventsResponse) error) error {
			defer close(gone)
			return send(&musterv1.WatchEventsResponse{Cursor: "1"})
		}},
	})
	if err := logs.Watch(t.Context(), &musterv1.WatchEventsRequest{}, nil, func([]*musterv1.RecordedEvent, Places) error { return nil }); err != nil {
		t.Error(err)
	}
	<-gone
}

// Places come back from text as they were, and nothing else is read as such.
func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(Places{}.Cursor())
	f.Add(Places{"identity": "", "media": "AQID"}.Cursor())
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		places, err := ParseCursor(text)
		if err != nil || text == "" {
			return
		}
		if places.Cursor() != text {
			t.Errorf("%q is %v", text, places)
		}
	})
}
