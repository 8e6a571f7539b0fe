package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	listEvents     = "/muster.v1.EventService/ListEvents"
	watchEvents    = "/muster.v1.EventService/WatchEvents"
	getUserHistory = "/muster.v1.EventService/GetUserHistory"
)

// viewFake stands in for the view of a log. Its page tokens are indexes, its
// cursors how many events have been told.
type viewFake struct {
	log  string
	tell chan *musterv1.RecordedEvent
	// letGo is sent to when somebody who watched is gone.
	letGo chan struct{}

	mu sync.Mutex
	// events, the newest first.
	events []*musterv1.RecordedEvent
	// heard is what it was asked, and for whom.
	heard []string
}

var _ eventlogv1connect.EventViewServiceHandler = (*viewFake)(nil)

func newViewFake(log string) *viewFake {
	return &viewFake{log: log, tell: make(chan *musterv1.RecordedEvent), letGo: make(chan struct{}, 10)}
}

func (f *viewFake) hears(ctx context.Context, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, what+" for "+caller(ctx))
}

func (f *viewFake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.heard)
}

func (f *viewFake) has(second int64, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	event := &musterv1.RecordedEvent{Id: id, Log: f.log, OccurredAt: timestamppb.New(time.Unix(second, 0))}
	f.events = append([]*musterv1.RecordedEvent{event}, f.events...)
}

func (f *viewFake) ListEvents(ctx context.Context, r *connect.Request[musterv1.ListEventsRequest]) (*connect.Response[musterv1.ListEventsResponse], error) {
	f.hears(ctx, fmt.Sprintf("%d sensitive=%t", r.Msg.GetPageSize(), r.Msg.GetSensitive()))
	f.mu.Lock()
	defer f.mu.Unlock()
	from, _ := strconv.Atoi(r.Msg.GetPageToken())
	to := min(from+int(r.Msg.GetPageSize()), len(f.events))
	response := &musterv1.ListEventsResponse{Events: f.events[from:to]}
	if to < len(f.events) {
		response.NextPageToken = strconv.Itoa(to)
	}
	return connect.NewResponse(response), nil
}

func (f *viewFake) WatchEvents(ctx context.Context, r *connect.Request[musterv1.WatchEventsRequest], stream *connect.ServerStream[musterv1.WatchEventsResponse]) error {
	f.hears(ctx, "watch from "+r.Msg.GetCursor())
	defer func() { f.letGo <- struct{}{} }()
	if r.Msg.GetCursor() == "old" {
		return reason.New(musterv1.Reason_REASON_EPOCH_CHANGED)
	}
	at, _ := strconv.Atoi(r.Msg.GetCursor())
	if err := stream.Send(&musterv1.WatchEventsResponse{Cursor: strconv.Itoa(at)}); err != nil {
		return err
	}
	for {
		select {
		case event := <-f.tell:
			at++
			if err := stream.Send(&musterv1.WatchEventsResponse{Events: []*musterv1.RecordedEvent{event}, Cursor: strconv.Itoa(at)}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *viewFake) GetUserHistory(ctx context.Context, r *connect.Request[musterv1.GetUserHistoryRequest]) (*connect.Response[musterv1.GetUserHistoryResponse], error) {
	f.hears(ctx, "history from "+r.Msg.GetPageToken())
	response := &musterv1.GetUserHistoryResponse{Account: &musterv1.User{Id: r.Msg.GetUserId()}}
	if r.Msg.GetPageToken() == "" {
		response.NextPageToken = "place-2"
	}
	return connect.NewResponse(response), nil
}

// Events of all logs are one list, for auditors, page by page; what is personal is
// asked for only for those who may, and of no more events than they get.
func TestEventsOfAllLogsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	auditor := []string{"Authorization", w.bearerOf(access.Auditor)}
	for i, log := range []string{"identity", "media", "identity", "identity", "media"} {
		w.views[log].has(int64(i), strconv.Itoa(i))
	}
	first := w.post(listEvents, `{"pageSize":2}`, auditor...)
	first.ok(t)
	token, _ := first.body["nextPageToken"].(string)
	if got := first.names("events", "id"); !slices.Equal(got, []string{"4", "3"}) || token == "" {
		t.Fatalf("the first page is %s", first.text)
	}
	second := w.post(listEvents, `{"pageSize":10,"pageToken":"`+token+`"}`, auditor...)
	second.ok(t)
	if got := second.names("events", "id"); !slices.Equal(got, []string{"2", "1", "0"}) || second.body["nextPageToken"] != "" {
		t.Errorf("the second page is %s", second.text)
	}
	for what, body := range map[string]string{
		"with other filters": `{"log":"media","pageToken":"` + token + `"}`,
		"made up":            `{"pageToken":"1"}`,
	} {
		t.Run(what, func(t *testing.T) {
			w.post(listEvents, body, auditor...).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PAGE_TOKEN_INVALID, "pageToken")
		})
	}
	w.post(listEvents, `{"log":"accounts"}`, auditor...).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "log")
	w.post(listEvents, `{}`, "Authorization", w.bearer(nil)).refused(t, http.StatusForbidden, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	w.post(listEvents, `{}`).refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	for procedure, body := range map[string]string{listEvents: `{"sensitive":true}`, getUserHistory: `{"userId":"` + eve + `","sensitive":true}`} {
		got := w.post(procedure, body, auditor...)
		got.refused(t, http.StatusForbidden, musterv1.Reason_REASON_PERMISSION_DENIED, "sensitive")
		if !strings.Contains(got.text, "events.read_sensitive") {
			t.Errorf("the refusal does not name the permission: %s", got.text)
		}
	}
	w.post(listEvents, `{"pageSize":2,"sensitive":true}`, "Authorization", w.bearerOf(access.Admin)).ok(t)
	for log, view := range w.views {
		asked := view.asked()
		if last := asked[len(asked)-1]; last != "1 sensitive=true for "+ada {
			t.Errorf("%s was asked %q last", log, last)
		}
		if slices.ContainsFunc(asked[:len(asked)-1], func(what string) bool { return strings.Contains(what, "sensitive=true") }) {
			t.Errorf("%s was asked for what is personal before: %v", log, asked)
		}
	}
}

// The log of a service that is away is named; alone, its list is UNAVAILABLE.
func TestEventsOfTheOtherLogsAreListedWhileAServiceIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.views["identity"].has(1, "1")
	w.stopMedia()
	auditor := w.bearerOf(access.Auditor)
	got := w.post(listEvents, `{}`, "Authorization", auditor)
	got.ok(t)
	if ids := got.names("events", "id"); !slices.Equal(ids, []string{"1"}) || !strings.Contains(got.text, `"nextPageToken":"","unreachable":["media"]`) {
		t.Errorf("listed %s", got.text)
	}
	w.post(listEvents, `{"log":"media"}`, "Authorization", auditor).refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
}

// A history is identity's; its places are sealed as all page tokens are.
func TestAHistoryIsAskedOfWhoHasTheAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	auditor := []string{"Authorization", w.bearerOf(access.Auditor)}
	first := w.post(getUserHistory, `{"userId":"`+eve+`"}`, auditor...)
	first.ok(t)
	token, _ := first.body["nextPageToken"].(string)
	if token == "" || token == "place-2" {
		t.Fatalf("the page token is %q", token)
	}
	second := w.post(getUserHistory, `{"userId":"`+eve+`","pageSize":7,"pageToken":"`+token+`"}`, auditor...)
	second.ok(t)
	second.containsJSON(t, `{"account":{"id":"`+eve+`"},"nextPageToken":""}`)
	w.post(getUserHistory, `{"userId":"`+ada+`","pageToken":"`+token+`"}`, auditor...).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PAGE_TOKEN_INVALID, "pageToken")
	w.post(getUserHistory, `{}`, auditor...).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, "user")
	if asked := w.views["identity"].asked(); !slices.Equal(asked, []string{"history from  for " + ada, "history from place-2 for " + ada}) {
		t.Errorf("identity was asked %v", asked)
	}
}

// framed is a stream as a browser or curl speaks it: Connect's JSON.
type framed struct {
	t    *testing.T
	body io.ReadCloser
	stop context.CancelFunc
}

// watches begins one with a request.
func (w *world) watches(request string, headers ...string) framed {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	w.t.Cleanup(stop)
	envelope := string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request)))) + request
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+watchEvents, strings.NewReader(envelope))
	if err != nil {
		w.t.Fatal(err)
	}
	asked.Header.Set("Content-Type", "application/connect+json")
	for i := 0; i+1 < len(headers); i += 2 {
		asked.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.client.Do(asked)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		w.t.Fatalf("status %d", response.StatusCode)
	}
	return framed{t: w.t, body: response.Body, stop: stop}
}

// next gives a message, or the end of the stream with the error's reason in it.
func (f framed) next() (message map[string]any, ended bool) {
	f.t.Helper()
	prefix := make([]byte, 5)
	if _, err := io.ReadFull(f.body, prefix); err != nil {
		f.t.Fatal(err)
	}
	text := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	if _, err := io.ReadFull(f.body, text); err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &message); err != nil {
		f.t.Fatalf("%q: %v", text, err)
	}
	return message, prefix[0]&2 != 0
}

// ends fails unless the stream ends for this reason.
func (f framed) ends(t *testing.T, want musterv1.Reason) {
	t.Helper()
	for {
		message, ended := f.next()
		if !ended {
			continue
		}
		if text := fmt.Sprint(message); !strings.Contains(text, name(want)) {
			t.Errorf("ended with %s, want %s", text, name(want))
		}
		return
	}
}

// Watching outlives the time that a call may take, gives what happens in each log,
// goes on from a cursor, and ends with whoever watches.
func TestEventsAreWatchedAsABrowserDoes(t *testing.T) {
	t.Parallel()
	const bound = 100 * time.Millisecond
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = 10 * bound })
	auditor := w.bearerOf(access.Auditor)
	watched := w.watches(`{"stream":"user-"}`, "Authorization", auditor)
	begin, _ := watched.next()
	cursor, _ := begin["cursor"].(string)
	if cursor == "" {
		t.Fatalf("the first answer is %v", begin)
	}
	late := time.NewTimer(callsInOne * 10 * bound * 3 / 2)
	defer late.Stop()
	<-late.C
	for id, log := range map[string]string{"1": "identity", "2": "media"} {
		w.views[log].tell <- &musterv1.RecordedEvent{Id: id, Log: log}
		told, _ := watched.next()
		if events, _ := told["events"].([]any); len(events) != 1 || events[0].(map[string]any)["id"] != id {
			t.Errorf("told %v, want event %s", told, id)
		}
		cursor, _ = told["cursor"].(string)
	}
	watched.stop()
	<-w.views["identity"].letGo
	<-w.views["media"].letGo

	again := w.watches(`{"cursor":"`+cursor+`"}`, "Authorization", auditor)
	if on, _ := again.next(); on["cursor"] != cursor {
		t.Errorf("it goes on at %v", on)
	}
	for log, view := range w.views {
		if asked := view.asked(); asked[len(asked)-1] != "watch from 1 for "+ada {
			t.Errorf("%s was asked %v", log, asked)
		}
	}
	w.watches(`{"cursor":"`+cursor+`","log":"media"}`, "Authorization", auditor).ends(t, musterv1.Reason_REASON_INVALID_ARGUMENT)
	w.watches(`{"cursor":"x"}`, "Authorization", auditor).ends(t, musterv1.Reason_REASON_INVALID_ARGUMENT)
	w.watches(`{"strem":"user-"}`, "Authorization", auditor).ends(t, musterv1.Reason_REASON_UNKNOWN_FIELD)
	w.watches(`{"sensitive":true}`, "Authorization", auditor).ends(t, musterv1.Reason_REASON_PERMISSION_DENIED)
	w.watches(`{}`, "Authorization", w.bearer(nil)).ends(t, musterv1.Reason_REASON_PERMISSION_DENIED)
}

// The gateway's end, and that of a service, end what is watched; the client goes on
// from its last cursor.
func TestWatchingEndsWithTheGatewayAndWithAService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client := musterv1connect.NewEventServiceClient(h2c(t), w.base, connect.WithGRPC())
	watch := func(log string) *connect.ServerStreamForClient[musterv1.WatchEventsResponse] {
		request := connect.NewRequest(&musterv1.WatchEventsRequest{Log: log})
		request.Header().Set("Authorization", w.bearerOf(access.Auditor))
		stream, err := client.WatchEvents(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	ends := func(stream *connect.ServerStreamForClient[musterv1.WatchEventsResponse]) {
		t.Helper()
		for stream.Receive() {
			continue
		}
		if err := stream.Err(); reason.Of(err) != musterv1.Reason_REASON_UNAVAILABLE {
			t.Errorf("ended with %v", err)
		}
		_ = stream.Close()
	}
	all := watch("")
	if !all.Receive() {
		t.Fatal(all.Err())
	}
	w.stopMedia()
	ends(all)
	ends(watch("")) // there is no watching of all while one is away
	alone := watch("identity")
	if !alone.Receive() {
		t.Fatal(alone.Err())
	}
	w.stopGateway()
	ends(alone)
}
