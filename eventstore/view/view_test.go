package view

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/reason"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ring is a keyring in memory.
type ring struct {
	mu   sync.Mutex
	keys map[string]seal.Key
}

func (r *ring) Get(_ context.Context, ids []string) (map[string]seal.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := map[string]seal.Key{}
	for _, id := range ids {
		keys[id] = seal.Key{ID: id}
		if key, ok := r.keys[id]; ok {
			keys[id] = key
		}
	}
	return keys, nil
}

func (r *ring) Make(_ context.Context, n int) ([]seal.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	made := make([]seal.Key, n)
	for i := range made {
		bytes := make([]byte, seal.KeySize)
		_, _ = rand.Read(bytes)
		made[i] = seal.Key{ID: uuid.NewString(), State: seal.Alive, Bytes: seal.NewSecret(bytes)}
		r.keys[made[i].ID] = made[i]
	}
	return made, nil
}

// full is a log that takes nothing while it is full.
type full struct {
	*postgres.Log
	mu   sync.Mutex
	full bool
}

var errFull = errors.New("the disk is full")

func (f *full) set(to bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = to
}

func (f *full) Append(ctx context.Context, a eventstore.Append) (eventstore.Appended, error) {
	f.mu.Lock()
	refuses := f.full
	f.mu.Unlock()
	if refuses {
		return eventstore.Appended{}, errFull
	}
	return f.Log.Append(ctx, a)
}

// world is a view of a log.
type world struct {
	log     *full
	codec   *seal.Codec
	handler *Handler
	client  eventlogv1connect.EventViewServiceClient
	leaving chan struct{}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), urls.Runtime, "test", 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := &ring{keys: map[string]seal.Key{}}
	w := &world{log: &full{Log: log}, codec: seal.NewCodec(keys, keys, protoregistry.GlobalTypes, nil), leaving: make(chan struct{})}
	w.handler = NewHandler(Config{
		Log: w.log, Codec: w.codec, People: w.log, Leaving: w.leaving, Now: time.Now, NewID: uuid.NewV7,
		Caller: func(context.Context) Caller {
			return Caller{Metadata: eventstore.Metadata{Actor: "user-1"}, Origin: &eventstore.Origin{Address: "192.0.2.9"}, Sensitive: true}
		},
	})
	w.handler.heartbeat = 100 * time.Millisecond
	_, mux := eventlogv1connect.NewEventViewServiceHandler(w.handler)
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	w.client = eventlogv1connect.NewEventViewServiceClient(server.Client(), server.URL, connect.WithGRPC())
	return w
}

// happens appends an account's first event.
func (w *world) happens(t testing.TB, stream string, message proto.Message) eventstore.Event {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	events := []eventstore.Event{{ID: id, Log: "identity", Stream: stream, OccurredAt: time.Now()}}
	if err := w.codec.Encode(t.Context(), []eventstore.Draft{{Event: &events[0], Message: message}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.log.Log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: events}); err != nil {
		t.Fatal(err)
	}
	return events[0]
}

func (w *world) list(t testing.TB, request *musterv1.ListEventsRequest) (*musterv1.ListEventsResponse, error) {
	t.Helper()
	response, err := w.client.ListEvents(t.Context(), connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// What cannot be recorded is not shown, neither in a list nor to who watches.
func TestWhatCannotBeRecordedIsNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin, err := w.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.happens(t, "user-1", &identityeventsv1.UserRegistered{UserId: "1", Username: "canary"})
	w.log.set(true)
	if listed, err := w.list(t, &musterv1.ListEventsRequest{Sensitive: true}); err == nil {
		t.Errorf("listed %v", listed)
	}
	stream, err := w.client.WatchEvents(t.Context(), connect.NewRequest(&musterv1.WatchEventsRequest{Cursor: string(begin.Next), Sensitive: true}))
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		if len(stream.Msg().GetEvents()) > 0 {
			t.Errorf("watched %v", stream.Msg())
		}
	}
	if stream.Err() == nil {
		t.Error("who watches is not told")
	}
	// What holds nothing personal needs no record.
	if listed, err := w.list(t, &musterv1.ListEventsRequest{}); err != nil || len(listed.GetEvents()) != 1 || strings.Contains(prototext.Format(listed), "canary") {
		t.Errorf("listed %v, %v", listed, err)
	}
	w.log.set(false)
	listed, err := w.list(t, &musterv1.ListEventsRequest{Sensitive: true})
	if err != nil || listed.GetEvents()[0].GetData().GetFields()["username"].GetStringValue() != "canary" {
		t.Fatalf("listed %v, %v", listed, err)
	}
	records, err := w.list(t, &musterv1.ListEventsRequest{Types: []string{"EventsDisclosed"}, Sensitive: true})
	if err != nil || len(records.GetEvents()) != 1 || records.GetEvents()[0].GetAddress() != "192.0.2.9" {
		t.Errorf("recorded %v, %v", records, err)
	}
}

// Pages of a list, each recorded, go through all of the log once, the newest
// first, while the records themselves are appended.
func TestPagesHoldWhileTheirOwnRecordsAreAppended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want, got []string
	for range 23 {
		want = append(want, w.happens(t, "user-1", &identityeventsv1.ProfileUpdated{UserId: "1", FirstName: "canary"}).ID.String())
	}
	slices.Reverse(want)
	pages := 0
	for token := ""; ; pages++ {
		listed, err := w.list(t, &musterv1.ListEventsRequest{PageSize: 5, PageToken: token, Sensitive: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range listed.GetEvents() {
			got = append(got, event.GetId())
		}
		if token = listed.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events of %d", len(got), len(want))
	}
	records, err := w.list(t, &musterv1.ListEventsRequest{Stream: "disclosure-"})
	if err != nil || len(records.GetEvents()) != pages+1 {
		t.Errorf("%d records of %d pages, %v", len(records.GetEvents()), pages+1, err)
	}
}

// An answer is of 3 MiB or so, and the next one goes on behind it.
func TestAPageIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const events = 5
	for range events {
		w.happens(t, "user-1", &identityeventsv1.ProfileUpdated{UserId: strings.Repeat("x", 1<<20)})
	}
	seen := 0
	for token := ""; ; {
		listed, err := w.list(t, &musterv1.ListEventsRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if size := proto.Size(listed); size > answerBytes+1<<10 {
			t.Errorf("a page of %d bytes", size)
		}
		seen += len(listed.GetEvents())
		if token = listed.GetNextPageToken(); token == "" {
			break
		}
	}
	if seen != events {
		t.Errorf("%d events", seen)
	}
}

// As many watch as the process allows, the next is told to come back, and all are
// let go when the service stops.
func TestWhoWatchesIsBoundedAndLetGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var streams []*connect.ServerStreamForClient[musterv1.WatchEventsResponse]
	for range maxWatchers {
		stream, err := w.client.WatchEvents(t.Context(), connect.NewRequest(&musterv1.WatchEventsRequest{}))
		if err != nil || !stream.Receive() || stream.Msg().GetCursor() == "" {
			t.Fatal(err, stream.Err())
		}
		streams = append(streams, stream)
	}
	over, err := w.client.WatchEvents(t.Context(), connect.NewRequest(&musterv1.WatchEventsRequest{}))
	if err == nil && over.Receive() {
		t.Error("one too many watches")
	}
	if err == nil {
		err = over.Err()
	}
	if detail := reason.DetailOf(err); detail.GetReason() != "OVERLOADED" || detail.GetRetryAfterMs() == 0 {
		t.Errorf("one too many: %v", err)
	}
	close(w.leaving)
	for _, stream := range streams {
		for stream.Receive() {
			continue
		}
		if err := stream.Err(); err != nil {
			t.Errorf("let go with %v", err)
		}
	}
}

// Where the service has no accounts, there is no history; another log's events are
// not here; a page token of another epoch is refused.
func TestWhatThisServiceDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.happens(t, "user-1", &identityeventsv1.UserDeactivated{UserId: "1"})
	_, err := w.client.GetUserHistory(t.Context(), connect.NewRequest(&musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_UserId{UserId: uuid.NewString()}}))
	if reason.DetailOf(err).GetReason() != "NOT_FOUND" {
		t.Errorf("history: %v", err)
	}
	if listed, err := w.list(t, &musterv1.ListEventsRequest{Log: "media"}); err != nil || len(listed.GetEvents()) != 0 || listed.GetNextPageToken() != "" {
		t.Errorf("another log: %v, %v", listed, err)
	}
	for _, token := range []string{"x", place{1, 2}.encode()} {
		if _, err := w.list(t, &musterv1.ListEventsRequest{PageToken: token}); reason.DetailOf(err).GetReason() != "PAGE_TOKEN_INVALID" {
			t.Errorf("page token %q: %v", token, err)
		}
	}
}

// A page token is read back as it was made, and nothing else is one.
func FuzzPlace(f *testing.F) {
	for _, p := range []place{{1, 1}, {1763900000000, 1 << 40}} {
		f.Add(p.encode())
	}
	f.Add("")
	f.Add("AQ")
	f.Add("gQCBAA")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := decodePlace(token)
		if err != nil || token == "" {
			return
		}
		if p.epoch < 1 || p.at < 1 || p.encode() != token {
			t.Errorf("%q is %+v", token, p)
		}
	})
}
