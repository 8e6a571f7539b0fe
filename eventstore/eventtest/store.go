package eventtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

// ReaderUnderTest is a log that can be read, and appended to so that there is
// something to read.
type ReaderUnderTest interface {
	eventstore.Appender
	eventstore.StreamReader
	eventstore.LogReader
}

// StoreUnderTest is a log that the conformance suite is run on.
type StoreUnderTest interface {
	ReaderUnderTest
	eventstore.BulkAppender
	eventstore.FilteredReader
}

// RunReader holds a log to what its readers rely on: a part of RunStore, for
// doubles of a log that are only read. open gives an empty one.
func RunReader(t *testing.T, open func(t *testing.T) ReaderUnderTest) {
	for name, rule := range map[string]func(*testing.T, ReaderUnderTest){
		"an event is read as it was appended":   readAsAppended,
		"a stream is read from a version on":    streamFrom,
		"a log is read in pages":                logPages,
		"a page tells how many events are left": remainingTold,
		"a cursor goes on where it stood":       cursorResumes,
		"a cursor of nobody is refused":         cursorInvalid,
		"a reader at the head waits":            headWaits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

// RunStore holds a log to what eventstore promises. open gives an empty one.
func RunStore(t *testing.T, open func(t *testing.T) StoreUnderTest) {
	RunReader(t, func(t *testing.T) ReaderUnderTest { return open(t) })
	for name, rule := range map[string]func(*testing.T, StoreUnderTest){
		"a version is appended once":                              versionOnce,
		"a version needs its predecessor":                         predecessor,
		"any version is the next one":                             anyVersion,
		"all events of an append are appended or none":            allOrNone,
		"an event id is used once":                                eventIDOnce,
		"of concurrent appends one wins":                          oneWinner,
		"a repeated command is answered":                          commandReplayed,
		"a command with another request is refused":               commandReused,
		"a refused command is not on record":                      commandOfRefusal,
		"a name has one holder":                                   nameHeld,
		"a released name is free":                                 nameReleased,
		"of concurrent holders of a name one wins":                nameRace,
		"a kind is not given back by its last holder":             lastHolderKept,
		"of the last two holders one stays":                       lastHoldersRace,
		"a bulk is appended to every stream":                      bulkAppended,
		"a bulk is refused as a whole, and names the stream":      bulkRefused,
		"a repeated bulk is answered":                             bulkReplayed,
		"of a bulk and a concurrent append one wins":              bulkRace,
		"a filter leaves out the others and nothing else":         filterChooses,
		"a filtered reader at the head waits for what is chosen":  filterWaits,
		"any run of appends and reads agrees with a simple model": agreesWithModel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, open(t))
		})
	}
}

func newEvents(n int) []eventstore.Event {
	events := make([]eventstore.Event, n)
	for i := range events {
		events[i] = eventstore.Event{
			ID: uuid.Must(uuid.NewV7()), Type: "test.v1.Happened", SchemaVersion: 1,
			OccurredAt: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC), Payload: []byte(`{}`),
		}
	}
	return events
}

func newStream() string { return "thing-" + uuid.NewString() }

func mustAppend(t *testing.T, store ReaderUnderTest, a eventstore.Append) eventstore.Appended {
	t.Helper()
	appended, err := store.Append(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return appended
}

func wantRefusal(t *testing.T, store StoreUnderTest, a eventstore.Append, want error) {
	t.Helper()
	if _, err := store.Append(t.Context(), a); !errors.Is(err, want) {
		t.Errorf("append: %v, want %v", err, want)
	}
}

func wantVersions(t *testing.T, store ReaderUnderTest, stream string, want int) {
	t.Helper()
	events, err := store.ReadStream(t.Context(), stream, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, event := range events {
		if event.Version != int64(i+1) {
			t.Errorf("version %d in place %d", event.Version, i+1)
		}
	}
	if len(events) != want {
		t.Errorf("the stream has %d events, want %d", len(events), want)
	}
}

func readAll(ctx context.Context, store ReaderUnderTest, limit int) ([]eventstore.Event, eventstore.Cursor, error) {
	return readOn(ctx, store, "", limit)
}

func readOn(ctx context.Context, store ReaderUnderTest, cursor eventstore.Cursor, limit int) ([]eventstore.Event, eventstore.Cursor, error) {
	var all []eventstore.Event
	for {
		page, err := store.ReadLog(ctx, cursor, limit, 0)
		if err != nil {
			return nil, "", err
		}
		if len(page.Events) > limit {
			return nil, "", fmt.Errorf("a page of %d events, asked for %d", len(page.Events), limit)
		}
		all = append(all, page.Events...)
		if cursor = page.Next; page.AtHead {
			return all, cursor, nil
		}
	}
}

func readAsAppended(t *testing.T, store ReaderUnderTest) {
	stream := newStream()
	events := newEvents(2)
	events[0].Sealed, events[0].KeyID = []byte{0, 255, 1}, uuid.NewString()
	events[0].MetadataSealed, events[0].MetadataKeyID = []byte{254, 0}, uuid.NewString()
	events[0].Metadata = eventstore.Metadata{Actor: "user-1", OnBehalfOf: "user-2", RequestID: "r", TraceParent: "00-1", Causation: "c"}
	appended := mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: events})
	position := appended.Position
	if position.Stream != stream || position.Version != 2 || position.Epoch < 1 || position.Log == "" || appended.Replayed {
		t.Errorf("appended at %+v", appended)
	}
	want := make([]eventstore.Event, len(events))
	for i, event := range events {
		event.Log, event.Epoch, event.Stream = position.Log, position.Epoch, stream
		event.Version, event.Shard = int64(i+1), eventstore.ShardOf(stream)
		want[i] = event
	}
	byStream, err := store.ReadStream(t.Context(), stream, 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	byLog, _, err := readAll(t.Context(), store, 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]eventstore.Event{"stream": byStream, "log": byLog} {
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read by %s (-appended +read):\n%s", name, diff)
		}
	}
}

func versionOnce(t *testing.T, store StoreUnderTest) {
	stream := newStream()
	mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(2)})
	for _, expected := range []eventstore.ExpectedVersion{eventstore.NoStream, 1} {
		wantRefusal(t, store, eventstore.Append{Stream: stream, Expected: expected, Events: newEvents(1)}, eventstore.ErrWrongVersion)
	}
	mustAppend(t, store, eventstore.Append{Stream: stream, Expected: 2, Events: newEvents(1)})
	wantVersions(t, store, stream, 3)
}

func predecessor(t *testing.T, store StoreUnderTest) {
	stream := newStream()
	wantRefusal(t, store, eventstore.Append{Stream: stream, Expected: 1, Events: newEvents(1)}, eventstore.ErrWrongVersion)
	mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(1)})
	wantRefusal(t, store, eventstore.Append{Stream: stream, Expected: 8, Events: newEvents(1)}, eventstore.ErrWrongVersion)
	wantVersions(t, store, stream, 1)
}

func anyVersion(t *testing.T, store StoreUnderTest) {
	stream := newStream()
	for want := int64(1); want <= 3; want++ {
		appended := mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: newEvents(1)})
		if appended.Position.Version != want {
			t.Errorf("appended as version %d, want %d", appended.Position.Version, want)
		}
	}
}

func allOrNone(t *testing.T, store StoreUnderTest) {
	stream := newStream()
	events := newEvents(3)
	events[2].ID = events[0].ID
	wantRefusal(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: events}, eventstore.ErrEventIDUsed)
	wantVersions(t, store, stream, 0)
	if _, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream}); err == nil {
		t.Error("an append without events was accepted")
	}
}

func eventIDOnce(t *testing.T, store StoreUnderTest) {
	events := newEvents(1)
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: events})
	wantRefusal(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: events}, eventstore.ErrEventIDUsed)
}

// race runs appends at once and gives their errors.
func race(t *testing.T, store StoreUnderTest, appends []eventstore.Append) []error {
	t.Helper()
	errs := make([]error, len(appends))
	var all sync.WaitGroup
	for i, a := range appends {
		all.Go(func() { _, errs[i] = store.Append(t.Context(), a) })
	}
	all.Wait()
	return errs
}

func oneWinner(t *testing.T, store StoreUnderTest) {
	stream := newStream()
	for version := range eventstore.ExpectedVersion(3) {
		appends := make([]eventstore.Append, 8)
		for i := range appends {
			appends[i] = eventstore.Append{Stream: stream, Expected: version, Events: newEvents(1)}
		}
		won := 0
		for _, err := range race(t, store, appends) {
			if err == nil {
				won++
			} else if !errors.Is(err, eventstore.ErrWrongVersion) {
				t.Errorf("a loser was told: %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d won, want 1", won)
		}
	}
	wantVersions(t, store, stream, 3)
}

func newCommand() *eventstore.Command {
	return &eventstore.Command{Caller: "user-1", Method: "Register", Key: uuid.NewString(), Fingerprint: bytes.Repeat([]byte{1}, 32)}
}

func commandReplayed(t *testing.T, store StoreUnderTest) {
	stream, command := newStream(), newCommand()
	first := mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(2), Command: command})
	// The one who repeats it does not know of the first time and makes new ids.
	again := mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(2), Command: command})
	if !again.Replayed || again.Position != first.Position {
		t.Errorf("answered with %+v, want %+v", again, first.Position)
	}
	wantVersions(t, store, stream, 2)
	if all, _, err := readAll(t.Context(), store, 10); err != nil || len(all) != 2 {
		t.Errorf("the log has %d events, %v; want 2", len(all), err)
	}
}

func commandReused(t *testing.T, store StoreUnderTest) {
	command := newCommand()
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Command: command})
	other := *command
	other.Fingerprint = bytes.Repeat([]byte{2}, 32)
	wantRefusal(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Command: &other}, eventstore.ErrCommandReused)
	another := *command
	another.Caller = "user-2"
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Command: &another})
}

func commandOfRefusal(t *testing.T, store StoreUnderTest) {
	stream, command := newStream(), newCommand()
	wantRefusal(t, store, eventstore.Append{Stream: stream, Expected: 5, Events: newEvents(1), Command: command}, eventstore.ErrWrongVersion)
	if appended := mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(1), Command: command}); appended.Replayed {
		t.Error("a refused command was taken for an executed one")
	}
}

func name(kind string, b byte) eventstore.Reservation {
	return eventstore.Reservation{Kind: kind, Hash: bytes.Repeat([]byte{b}, 32), KeyID: "1"}
}

func wantReserved(t *testing.T, err error, kind string) {
	t.Helper()
	var reserved *eventstore.ReservedError
	if !errors.As(err, &reserved) || reserved.Kind != kind {
		t.Errorf("%v, want that the %s is reserved", err, kind)
	}
}

func nameHeld(t *testing.T, store StoreUnderTest) {
	holder, other := newStream(), newStream()
	mustAppend(t, store, eventstore.Append{
		Stream: holder, Expected: eventstore.NoStream, Events: newEvents(1),
		Reserve: []eventstore.Reservation{name("username", 1), name("email", 2)},
	})
	for kind, names := range map[string][]eventstore.Reservation{
		"username": {name("username", 1), name("email", 3)},
		"email":    {name("username", 2), name("email", 2)},
	} {
		_, err := store.Append(t.Context(), eventstore.Append{Stream: other, Expected: eventstore.NoStream, Events: newEvents(1), Reserve: names})
		wantReserved(t, err, kind)
	}
	// Neither the events nor the free one of the two names were taken, and a
	// stream may reserve again what it holds.
	mustAppend(t, store, eventstore.Append{
		Stream: holder, Expected: 1, Events: newEvents(1),
		Reserve: []eventstore.Reservation{name("username", 1), name("username", 2), name("email", 3)},
	})
	wantVersions(t, store, other, 0)
}

func nameReleased(t *testing.T, store StoreUnderTest) {
	holder, other := newStream(), newStream()
	mustAppend(t, store, eventstore.Append{
		Stream: holder, Expected: eventstore.NoStream, Events: newEvents(1),
		Reserve: []eventstore.Reservation{name("username", 1), name("email", 1)},
	})
	mustAppend(t, store, eventstore.Append{
		Stream: holder, Expected: 1, Events: newEvents(1),
		Release: []string{"username"}, Reserve: []eventstore.Reservation{name("username", 2)},
	})
	mustAppend(t, store, eventstore.Append{
		Stream: other, Expected: eventstore.NoStream, Events: newEvents(1), Reserve: []eventstore.Reservation{name("username", 1)},
	})
	_, err := store.Append(t.Context(), eventstore.Append{
		Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Reserve: []eventstore.Reservation{name("email", 1)},
	})
	wantReserved(t, err, "email")
}

func nameRace(t *testing.T, store StoreUnderTest) {
	appends := make([]eventstore.Append, 8)
	for i := range appends {
		names := []eventstore.Reservation{name("username", 1), name("email", 1)}
		if i%2 == 1 { // the other way round: no deadlock
			names[0], names[1] = names[1], names[0]
		}
		appends[i] = eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Reserve: names}
	}
	won := 0
	for i, err := range race(t, store, appends) {
		if err == nil {
			won++
			continue
		}
		wantReserved(t, err, appends[i].Reserve[0].Kind)
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
}

func wantLastHolder(t *testing.T, err error, kind string) {
	t.Helper()
	var last *eventstore.LastHolderError
	if !errors.As(err, &last) || last.Kind != kind {
		t.Errorf("%v, want that nobody else holds a %s", err, kind)
	}
}

func lastHolderKept(t *testing.T, store StoreUnderTest) {
	holder, other := newStream(), newStream()
	mustAppend(t, store, eventstore.Append{
		Stream: holder, Expected: eventstore.NoStream, Events: newEvents(1),
		Reserve: []eventstore.Reservation{name("chief", 1), name("chief", 2), name("email", 1)},
	})
	giveBack := eventstore.Append{Stream: holder, Expected: 1, Events: newEvents(1), Release: []string{"chief"}, Keep: []string{"chief"}}
	_, err := store.Append(t.Context(), giveBack)
	wantLastHolder(t, err, "chief")
	// A holder of another kind is none, and what was refused was not given back.
	mustAppend(t, store, eventstore.Append{Stream: other, Expected: eventstore.NoStream, Events: newEvents(1), Reserve: []eventstore.Reservation{name("email", 2)}})
	_, err = store.Append(t.Context(), giveBack)
	wantLastHolder(t, err, "chief")
	_, err = store.Append(t.Context(), eventstore.Append{Stream: other, Expected: 1, Events: newEvents(1), Reserve: []eventstore.Reservation{name("chief", 1)}})
	wantReserved(t, err, "chief")
	mustAppend(t, store, eventstore.Append{Stream: other, Expected: 1, Events: newEvents(1), Reserve: []eventstore.Reservation{name("chief", 3)}})
	mustAppend(t, store, giveBack)
	wantVersions(t, store, holder, 2)
}

func lastHoldersRace(t *testing.T, store StoreUnderTest) {
	appends := make([]eventstore.Append, 8)
	for i := range appends {
		stream := newStream()
		mustAppend(t, store, eventstore.Append{
			Stream: stream, Expected: eventstore.NoStream, Events: newEvents(1), Reserve: []eventstore.Reservation{name("chief", byte(i))},
		})
		appends[i] = eventstore.Append{Stream: stream, Expected: 1, Events: newEvents(1), Release: []string{"chief"}, Keep: []string{"chief"}}
	}
	stayed := 0
	for _, err := range race(t, store, appends) {
		if err != nil {
			stayed++
			wantLastHolder(t, err, "chief")
		}
	}
	if stayed != 1 {
		t.Errorf("%d of the last holders stayed, want 1", stayed)
	}
}

// newBulk is for streams that have not begun, two events and a name each.
func newBulk(streams int) []eventstore.Append {
	appends := make([]eventstore.Append, streams)
	for i := range appends {
		hash := sha256.Sum256([]byte(uuid.NewString()))
		appends[i] = eventstore.Append{
			Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(2),
			Reserve: []eventstore.Reservation{{Kind: "username", Hash: hash[:], KeyID: "1"}},
		}
	}
	return appends
}

func bulkAppended(t *testing.T, store StoreUnderTest) {
	const streams = 200
	appends := newBulk(streams)
	mustAppend(t, store, eventstore.Append{Stream: appends[7].Stream, Expected: eventstore.NoStream, Events: newEvents(3)})
	mustAppend(t, store, eventstore.Append{Stream: appends[8].Stream, Expected: eventstore.NoStream, Events: newEvents(1)})
	appends[7].Expected, appends[8].Expected, appends[9].Expected = 3, eventstore.AnyVersion, eventstore.AnyVersion
	want := map[int]int64{7: 5, 8: 3}
	appended, err := store.AppendAll(t.Context(), appends, nil)
	if err != nil || len(appended) != streams {
		t.Fatalf("%d outcomes, %v", len(appended), err)
	}
	for i, outcome := range appended {
		version := max(2, want[i])
		if outcome.Position.Stream != appends[i].Stream || outcome.Position.Version != version || outcome.Replayed {
			t.Errorf("outcome %d is %+v, want version %d", i, outcome, version)
		}
		wantVersions(t, store, appends[i].Stream, int(version))
	}
	versions := make(map[string]int64)
	all, _, err := readAll(t.Context(), store, 150)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range all {
		if versions[event.Stream]++; event.Version != versions[event.Stream] {
			t.Errorf("%s version %d in place %d", event.Stream, event.Version, versions[event.Stream])
		}
	}
	_, err = store.Append(t.Context(), eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1), Reserve: appends[3].Reserve})
	wantReserved(t, err, "username")
}

func bulkRefused(t *testing.T, store StoreUnderTest) {
	holder := newStream()
	held, before := name("email", 1), newEvents(1)
	mustAppend(t, store, eventstore.Append{Stream: holder, Expected: eventstore.NoStream, Events: before, Reserve: []eventstore.Reservation{held}})
	for fault, test := range map[string]struct {
		make func(*eventstore.Append)
		want error // nil for any
	}{
		"a predecessor that is missing": {func(a *eventstore.Append) { a.Expected = 4 }, eventstore.ErrWrongVersion},
		"a stream that has begun":       {func(a *eventstore.Append) { a.Stream = holder }, eventstore.ErrWrongVersion},
		"a later version":               {func(a *eventstore.Append) { a.Stream, a.Expected = holder, 8 }, eventstore.ErrWrongVersion},
		"a used event id":               {func(a *eventstore.Append) { a.Events[1].ID = before[0].ID }, eventstore.ErrEventIDUsed},
		"an event id that comes twice":  {func(a *eventstore.Append) { a.Events[1].ID = a.Events[0].ID }, eventstore.ErrEventIDUsed},
		"a name of another stream":      {func(a *eventstore.Append) { a.Reserve = []eventstore.Reservation{held} }, nil},
		"no events":                     {func(a *eventstore.Append) { a.Events = nil }, nil},
		"a command of its own":          {func(a *eventstore.Append) { a.Command = newCommand() }, nil},
	} {
		for _, named := range []bool{true, false} { // with and without reservations of the others
			appends := newBulk(5)
			for i := range appends {
				if !named {
					appends[i].Reserve = nil
				}
			}
			test.make(&appends[3])
			appended, err := store.AppendAll(t.Context(), appends, nil)
			var at *eventstore.StreamError
			if !errors.As(err, &at) || at.Stream != appends[3].Stream || appended != nil {
				t.Errorf("%s: %v, want the stream %s to be named", fault, err, appends[3].Stream)
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", fault, err, test.want)
			}
			if fault == "a name of another stream" {
				wantReserved(t, err, "email")
			}
			wantVersions(t, store, appends[0].Stream, 0)
			wantVersions(t, store, appends[4].Stream, 0)
		}
	}
	wantVersions(t, store, holder, 1)
	twice, same := newBulk(3), newBulk(3)
	twice[2].Stream = twice[0].Stream
	same[2].Reserve = same[0].Reserve
	for fault, appends := range map[string][]eventstore.Append{"a stream named twice": twice, "a name for two streams": same, "nothing": nil} {
		if _, err := store.AppendAll(t.Context(), appends, nil); err == nil {
			t.Errorf("a bulk with %s was accepted", fault)
		}
	}
	if all, _, err := readAll(t.Context(), store, 100); err != nil || len(all) != 1 {
		t.Errorf("the log has %d events, %v; want 1", len(all), err)
	}
}

func bulkReplayed(t *testing.T, store StoreUnderTest) {
	command := newCommand()
	refused := newBulk(3)
	refused[2].Expected = 1
	if _, err := store.AppendAll(t.Context(), refused, command); !errors.Is(err, eventstore.ErrWrongVersion) {
		t.Errorf("append all: %v, want ErrWrongVersion", err)
	}
	first, err := store.AppendAll(t.Context(), newBulk(3), command)
	if err != nil || len(first) != 3 || first[0].Replayed {
		t.Fatalf("after a refusal: %+v, %v", first, err)
	}
	again, err := store.AppendAll(t.Context(), newBulk(3), command)
	if err != nil || len(again) != 1 || !again[0].Replayed || again[0].Position != first[0].Position {
		t.Errorf("answered with %+v, %v; want %+v alone", again, err, first[0].Position)
	}
	if all, _, err := readAll(t.Context(), store, 100); err != nil || len(all) != 6 {
		t.Errorf("the log has %d events, %v; want 6", len(all), err)
	}
	other := *command
	other.Fingerprint = bytes.Repeat([]byte{2}, 32)
	if _, err := store.AppendAll(t.Context(), newBulk(1), &other); !errors.Is(err, eventstore.ErrCommandReused) {
		t.Errorf("another request: %v, want ErrCommandReused", err)
	}
}

// bulkRace lets two bulks want the same streams and names, each in an order of
// its own, and single appends some of the streams.
func bulkRace(t *testing.T, store StoreUnderTest) {
	for range 5 {
		bulks := [][]eventstore.Append{newBulk(20), make([]eventstore.Append, 20)}
		for i, a := range bulks[0] {
			a.Events = newEvents(2)
			bulks[1][19-i] = a
		}
		var singles []eventstore.Append
		for _, a := range bulks[0][5:9] {
			singles = append(singles, eventstore.Append{Stream: a.Stream, Expected: eventstore.NoStream, Events: newEvents(1)})
		}
		errs := make([]error, len(bulks))
		var all sync.WaitGroup
		for i := range bulks {
			all.Go(func() { _, errs[i] = store.AppendAll(t.Context(), bulks[i], nil) })
		}
		singleErrs := race(t, store, singles)
		all.Wait()
		won := 0
		for _, err := range errs {
			var reserved *eventstore.ReservedError
			if err == nil {
				won++
			} else if !errors.Is(err, eventstore.ErrWrongVersion) && !errors.As(err, &reserved) {
				t.Errorf("a bulk that lost was told: %v", err)
			}
		}
		single := 0
		for i, err := range singleErrs {
			want := 2
			if err == nil {
				single, want = single+1, 1
			} else if !errors.Is(err, eventstore.ErrWrongVersion) {
				t.Errorf("a single append that lost was told: %v", err)
			}
			if won == 0 && err != nil {
				want = 0
			}
			wantVersions(t, store, singles[i].Stream, want)
		}
		if won > 1 || (won == 1) == (single > 0) {
			t.Errorf("%d bulks and %d single appends won", won, single)
		}
		for _, a := range bulks[0][9:] {
			wantVersions(t, store, a.Stream, 2*won)
		}
	}
}

func streamFrom(t *testing.T, store ReaderUnderTest) {
	stream := newStream()
	mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(5)})
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1)})
	for _, tried := range []struct {
		from        int64
		limit       int
		first, last int64
	}{{1, 2, 1, 2}, {3, 100, 3, 5}, {5, 1, 5, 5}, {6, 10, 0, 0}} {
		events, err := store.ReadStream(t.Context(), stream, tried.from, tried.limit)
		if err != nil {
			t.Fatal(err)
		}
		var first, last int64
		if len(events) > 0 {
			first, last = events[0].Version, events[len(events)-1].Version
		}
		if first != tried.first || last != tried.last {
			t.Errorf("from %d at most %d: versions %d to %d, want %d to %d", tried.from, tried.limit, first, last, tried.first, tried.last)
		}
	}
	wantVersions(t, store, newStream(), 0)
}

func logPages(t *testing.T, store ReaderUnderTest) {
	const streams, each = 5, 4
	for range streams {
		mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(each)})
	}
	for _, limit := range []int{1, 3, streams * each, 1000} {
		events, _, err := readAll(t.Context(), store, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != streams*each {
			t.Errorf("by %d: %d events, want %d", limit, len(events), streams*each)
		}
		versions := make(map[string]int64)
		for _, event := range events {
			if event.Version != versions[event.Stream]+1 {
				t.Errorf("by %d: version %d after %d", limit, event.Version, versions[event.Stream])
			}
			versions[event.Stream] = event.Version
		}
	}
}

func remainingTold(t *testing.T, store ReaderUnderTest) {
	const streams, each = 4, 5
	for range streams {
		mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(each)})
	}
	for _, limit := range []int{1, 6, streams * each} {
		left := int64(streams * each)
		var cursor eventstore.Cursor
		for range streams*each + 2 {
			page, err := store.ReadLog(t.Context(), cursor, limit, 0)
			if err != nil {
				t.Fatal(err)
			}
			left -= int64(len(page.Events))
			if page.AtHead != (page.Remaining == 0) || page.Remaining < left {
				t.Errorf("by %d: it says that %d are left of %d, at the head %v", limit, page.Remaining, left, page.AtHead)
			}
			if cursor = page.Next; page.AtHead {
				break
			}
		}
		if left != 0 {
			t.Errorf("by %d: %d events were not read", limit, left)
		}
	}
}

func cursorResumes(t *testing.T, store ReaderUnderTest) {
	empty, head, err := readAll(t.Context(), store, 10)
	if err != nil || len(empty) != 0 {
		t.Fatalf("an empty log has %d events, %v", len(empty), err)
	}
	for range 3 {
		stream := newStream()
		mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(2)})
		page, err := store.ReadLog(t.Context(), head, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := store.ReadLog(t.Context(), head, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) != 2 || page.Events[0].Stream != stream || len(again.Events) != 2 {
			t.Errorf("read %d and again %d events, want the 2 new ones", len(page.Events), len(again.Events))
		}
		head = page.Next
	}
}

func cursorInvalid(t *testing.T, store ReaderUnderTest) {
	for _, cursor := range []eventstore.Cursor{"x", "AAAA", "not a cursor"} {
		if _, err := store.ReadLog(t.Context(), cursor, 10, 0); !errors.Is(err, eventstore.ErrCursorInvalid) {
			t.Errorf("cursor %q: %v, want ErrCursorInvalid", cursor, err)
		}
	}
}

func headWaits(t *testing.T, store ReaderUnderTest) {
	_, head, err := readAll(t.Context(), store, 10)
	if err != nil {
		t.Fatal(err)
	}
	page, err := store.ReadLog(t.Context(), head, 10, 10*time.Millisecond)
	if err != nil || len(page.Events) != 0 || !page.AtHead {
		t.Errorf("%d events, at the head %v, %v; want none, at the head", len(page.Events), page.AtHead, err)
	}
	const wait = 20 * time.Second
	began := time.Now()
	var reading sync.WaitGroup
	reading.Go(func() {
		page, err := store.ReadLog(t.Context(), page.Next, 10, wait)
		if err != nil || len(page.Events) != 1 {
			t.Errorf("%d events, %v; want the one appended meanwhile", len(page.Events), err)
		}
	})
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(1)})
	reading.Wait()
	if took := time.Since(began); took > wait/2 {
		t.Errorf("it waited %s", took)
	}
}

func filterChooses(t *testing.T, store StoreUnderTest) {
	types := []string{"test.v1.Opened", "test.v1.Moved", "test.v1.Closed"}
	for i := range 30 {
		events := newEvents(1 + i%3)
		for e := range events {
			events[e].Type = types[(i+e)%len(types)]
		}
		stream := fmt.Sprintf("%s-%d", []string{"user", "us", "file"}[i%3], i)
		mustAppend(t, store, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: events})
	}
	all, _, err := readAll(t.Context(), store, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range []eventstore.Filter{
		{}, {Stream: "user-"}, {Stream: "us"}, {Stream: "us-1"}, {Stream: "nobody"}, {Stream: "u%"}, {Stream: "_ser-"}, {Types: types[:1]}, {Types: types[1:]},
		{Types: []string{"test.v1.Unknown"}}, {Types: []string{types[2], "test.v1.Unknown"}, Stream: "file-"},
	} {
		var want []string
		for _, event := range all {
			if strings.HasPrefix(event.Stream, filter.Stream) && (len(filter.Types) == 0 || slices.Contains(filter.Types, event.Type)) {
				want = append(want, fmt.Sprint(event.Stream, " ", event.Version))
			}
		}
		for _, limit := range []int{1, 7, 100} {
			var got []string
			var cursor eventstore.Cursor
			for pages := 0; ; pages++ {
				page, err := store.ReadMatching(t.Context(), filter, cursor, limit, 0)
				if err != nil || len(page.Events) > limit || pages > 2*len(all) {
					t.Fatalf("%+v by %d: page %d has %d events, %v", filter, limit, pages, len(page.Events), err)
				}
				for _, event := range page.Events {
					got = append(got, fmt.Sprint(event.Stream, " ", event.Version))
				}
				if cursor = page.Next; page.AtHead {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v by %d (-chosen +read):\n%s", filter, limit, diff)
			}
		}
	}
}

// What a filter leaves out does not end a wait.
func filterWaits(t *testing.T, store StoreUnderTest) {
	_, head, err := readAll(t.Context(), store, 10)
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		page, err := store.ReadMatching(t.Context(), eventstore.Filter{Stream: "wanted-"}, head, 10, 20*time.Second)
		if err != nil || len(page.Events) != 1 || page.Events[0].Stream != "wanted-1" {
			t.Errorf("%+v, %v; want the one that is chosen", page.Events, err)
		}
	})
	mustAppend(t, store, eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(2)})
	mustAppend(t, store, eventstore.Append{Stream: "wanted-1", Expected: eventstore.NoStream, Events: newEvents(1)})
	reading.Wait()
}
