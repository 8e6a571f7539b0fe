package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
)

// A filtered read gives what a read of everything gives, less what the filter
// leaves out, in pages of any size and along both ways of reading a tick.
func TestAFilterLeavesOutTheOthersAndNothingElse(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	types := []string{"test.v1.Opened", "test.v1.Closed", "test.v1.Moved"}
	for i := range 120 {
		events := newEvents(t, 1+i%3)
		for e := range events {
			events[e].Type = types[(i+e)%len(types)]
		}
		stream := fmt.Sprintf("%s-%d", []string{"user", "file", "us"}[i%3], i)
		if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	all := readAll(t, log.Log, 1000)
	beginning := now(t, log.Log)
	rapid.Check(t, func(t *rapid.T) {
		filter := eventstore.Filter{
			Types:  rapid.SliceOfNDistinct(rapid.SampledFrom(append(types, "test.v1.Unknown")), 0, 3, rapid.ID).Draw(t, "types"),
			Stream: rapid.SampledFrom([]string{"", "user-", "us", "file-1", "user-3", "nobody"}).Draw(t, "stream"),
		}
		limit := rapid.IntRange(1, 60).Draw(t, "limit")
		var want, got []string
		for _, event := range all {
			if (len(filter.Types) == 0 || slices.Contains(filter.Types, event.Type)) && strings.HasPrefix(event.Stream, filter.Stream) {
				want = append(want, event.ID.String())
			}
		}
		for cursor, pages := eventstore.Cursor(""), 0; ; pages++ {
			page, err := log.ReadMatching(t.Context(), filter, cursor, limit, 0)
			if err != nil || len(page.Events) > limit || pages > len(all)+10 {
				t.Fatalf("page %d has %d events, %v", pages, len(page.Events), err)
			}
			for _, event := range page.Events {
				got = append(got, event.ID.String())
			}
			if cursor = page.Next; page.AtHead {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v in pages of %d gave %d events, want %d", filter, limit, len(got), len(want))
		}
	})
	// And by the candidates of a small tick.
	mustAppend(t, log.Log, "user-900", eventstore.NoStream, 2)
	mustAppend(t, log.Log, "file-900", eventstore.NoStream, 1)
	page, err := log.ReadMatching(t.Context(), eventstore.Filter{Stream: "file-"}, log.reader().encode(beginning), 10, 0)
	if err != nil || len(page.Events) != 1 || page.Events[0].Stream != "file-900" || !page.AtHead {
		t.Errorf("a small tick gave %d events, at the head %t, %v", len(page.Events), page.AtHead, err)
	}
}
