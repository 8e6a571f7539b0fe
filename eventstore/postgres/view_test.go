package postgres

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
)

// back walks a log from its end, page by page.
func back(t interface{ Fatalf(string, ...any) }, read func(before int64) (eventstore.Glance, error), limit int) []eventstore.Placed {
	var all []eventstore.Placed
	for before, pages := int64(0), 0; ; pages++ {
		glance, err := read(before)
		if err != nil || len(glance.Events) > limit || pages > 10_000 || before != 0 && glance.Next >= before {
			t.Fatalf("page %d before %d has %d events and goes on at %d: %v", pages, before, len(glance.Events), glance.Next, err)
		}
		all = append(all, glance.Events...)
		if before = glance.Next; before == 0 {
			return all
		}
	}
}

// Pages backwards give each event of the table that the filters choose once, the
// newest first, however small pages and windows are.
func TestALogIsReadBackwards(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	types := []string{"test.v1.Opened", "test.v1.Closed", "other.v1.Opened"}
	began := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	var table []eventstore.Event
	for i := range 100 {
		events := newEvents(t, 1+i%3)
		for e := range events {
			events[e].Type = types[(i+e)%len(types)]
			events[e].OccurredAt = began.Add(time.Duration(i) * time.Hour)
			events[e].Metadata.Actor = fmt.Sprintf("user-%d", i%4)
			events[e].Version, events[e].Stream = int64(e+1), fmt.Sprintf("%s-%d", []string{"user", "file", "us"}[i%3], i)
		}
		if _, err := log.Append(t.Context(), eventstore.Append{Stream: events[0].Stream, Expected: eventstore.NoStream, Events: events}); err != nil {
			t.Fatal(err)
		}
		table = append(table, events...)
	}
	named := map[string]bool{}
	for _, event := range table {
		named[event.Stream] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		look := eventstore.Look{
			Types:  rapid.SliceOfNDistinct(rapid.SampledFrom(append(types, "Opened", "Unknown")), 0, 3, rapid.ID).Draw(t, "types"),
			Stream: rapid.SampledFrom([]string{"", "user-", "us", "user-3", "file-1", "nobody"}).Draw(t, "stream"),
			Actor:  rapid.SampledFrom([]string{"", "user-1", "nobody"}).Draw(t, "actor"),
		}
		if rapid.Bool().Draw(t, "since") {
			look.Since = began.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
		}
		if rapid.Bool().Draw(t, "until") {
			look.Until = began.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
		}
		limit, window := rapid.IntRange(5, 60).Draw(t, "limit"), rapid.Int64Range(20, 300).Draw(t, "window")
		chosen := func(event eventstore.Event) bool {
			last := event.Type[strings.LastIndexByte(event.Type, '.')+1:]
			inStream := strings.HasPrefix(event.Stream, look.Stream)
			if named[look.Stream] {
				inStream = event.Stream == look.Stream
			}
			return inStream && (len(look.Types) == 0 || slices.Contains(look.Types, event.Type) || slices.Contains(look.Types, last)) &&
				(look.Actor == "" || look.Actor == event.Metadata.Actor) &&
				(look.Since.IsZero() || !event.OccurredAt.Before(look.Since)) && (look.Until.IsZero() || event.OccurredAt.Before(look.Until))
		}
		var want, got []string
		for _, event := range slices.Backward(table) {
			if chosen(event) {
				want = append(want, event.ID.String())
			}
		}
		found := back(t, func(before int64) (eventstore.Glance, error) {
			asked := look
			asked.Before = before
			conn, err := log.acquire(t.Context())
			if err != nil {
				return eventstore.Glance{}, err
			}
			defer conn.Release()
			return backward{reader: log.reader(), db: conn.Conn(), look: asked, limit: limit, window: window}.read(t.Context())
		}, limit)
		for _, placed := range found {
			got = append(got, placed.ID.String())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v in pages of %d and windows of %d gave %d events, want %d", look, limit, window, len(got), len(want))
		}
	})
}

// Who walks back while others append sees what was there at the first page, each
// once, and a stream's versions fall by one.
func TestPagesBackwardsHoldWhileEventsAreAppended(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	streams := make([]string, 4)
	for i := range streams {
		streams[i] = newStream()
		mustAppend(t, log.Log, streams[i], eventstore.NoStream, 50)
	}
	var there []string
	for _, event := range readAll(t, log.Log, 1000) {
		there = append(there, event.ID.String())
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	done := make(chan struct{})
	defer close(done)
	for _, stream := range streams {
		writing.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					mustAppend(t, log.Log, stream, eventstore.AnyVersion, 2)
				}
			}
		})
	}
	for range 5 {
		versions, seen := map[string]int64{}, map[string]bool{}
		for _, event := range back(t, func(before int64) (eventstore.Glance, error) {
			return log.ReadBack(t.Context(), eventstore.Look{Before: before}, 7)
		}, 7) {
			if seen[event.ID.String()] {
				t.Fatalf("%s came twice", event.ID)
			}
			seen[event.ID.String()] = true
			if last, known := versions[event.Stream]; known && event.Version != last-1 {
				t.Fatalf("version %d of %s came after %d", event.Version, event.Stream, last)
			}
			versions[event.Stream] = event.Version
		}
		for _, id := range there {
			if !seen[id] {
				t.Fatalf("%s is missing", id)
			}
		}
	}
}

// A filter that chooses nothing looks at a bounded part of the log in one call,
// and the end of the log is reached.
func TestARareFilterLooksAtABoundedPartAtOnce(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, "rare-1", eventstore.NoStream, 1)
	// As many offsets as two calls look at, without the rows.
	log.asOwner(t, `ALTER TABLE log.events ALTER COLUMN "offset" RESTART WITH 300000`)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	glance, err := log.ReadBack(t.Context(), eventstore.Look{Stream: "rare"}, 10)
	if err != nil || len(glance.Events) != 0 || glance.Next == 0 {
		t.Fatalf("the first call found %d events and goes on at %d: %v", len(glance.Events), glance.Next, err)
	}
	found := back(t, func(before int64) (eventstore.Glance, error) {
		return log.ReadBack(t.Context(), eventstore.Look{Stream: "rare", Before: before}, 10)
	}, 10)
	if len(found) != 1 || found[0].Stream != "rare-1" {
		t.Errorf("found %d events", len(found))
	}
}

// A name's holder is known as long as the name is held.
func TestTheHolderOfANameIsFound(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	name := eventstore.Reservation{Kind: "username", Hash: make([]byte, 32), KeyID: "k1"}
	stream := newStream()
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(t, 1), Reserve: []eventstore.Reservation{name}}); err != nil {
		t.Fatal(err)
	}
	if holder, err := log.Holder(t.Context(), name); err != nil || holder != stream {
		t.Errorf("held by %q, %v", holder, err)
	}
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: 1, Events: newEvents(t, 1), Release: []string{"username"}}); err != nil {
		t.Fatal(err)
	}
	if holder, err := log.Holder(t.Context(), name); err != nil || holder != "" {
		t.Errorf("held by %q, %v", holder, err)
	}
}
