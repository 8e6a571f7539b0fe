package eventtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
)

// model is a log as simple as it can be: what each stream has, and what a
// reader was given.
type model struct {
	run       string // tells it apart from others on the same log
	streams   []string
	versions  map[string]int64
	history   map[string][]eventstore.Event // of each stream, as it was appended
	holders   map[string]string             // name: stream
	commands  map[string]eventstore.Position
	ids       map[uuid.UUID]bool // appended, not yet delivered
	cursor    eventstore.Cursor
	delivered map[string]int64
	passed    []passed // the first is where the log stood
}

// passed is a cursor that was read from, and the versions delivered up to it.
type passed struct {
	cursor   eventstore.Cursor
	versions map[string]int64
}

// untilReader is a log that also reads a stream up to a time.
type untilReader interface {
	ReadStreamUntil(ctx context.Context, stream string, from int64, limit int, until time.Time) ([]eventstore.Event, error)
}

// agreesWithModel runs random appends and reads against the store and a model.
// Each run has streams, names and commands of its own, and reads from where the
// log stood when it began.
func agreesWithModel(t *testing.T, store StoreUnderTest) {
	var head eventstore.Cursor // of the runs before
	rapid.Check(t, func(r *rapid.T) {
		var err error
		if _, head, err = readOn(t.Context(), store, head, 1000); err != nil {
			r.Fatalf("read to the head: %v", err)
		}
		m := &model{
			run: uuid.NewString(), cursor: head,
			versions: map[string]int64{}, history: map[string][]eventstore.Event{}, holders: map[string]string{}, commands: map[string]eventstore.Position{},
			ids: map[uuid.UUID]bool{}, delivered: map[string]int64{}, passed: []passed{{cursor: head}},
		}
		for range 4 {
			m.streams = append(m.streams, newStream())
		}
		r.Repeat(map[string]func(*rapid.T){
			"append":      func(r *rapid.T) { m.append(t, r, store) },
			"append all":  func(r *rapid.T) { m.appendAll(t, r, store) },
			"read log":    func(r *rapid.T) { m.readLog(t, r, store) },
			"read again":  func(r *rapid.T) { m.readAgain(t, r, store) },
			"read stream": func(r *rapid.T) { m.readStream(t, r, store) },
		})
	})
}

var modelTypes = []string{"test.v1.Happened", "test.v1.Moved", "test.v1.Ended"}

// events are of several types and times, the times in no order.
func (*model) events(r *rapid.T) []eventstore.Event {
	events := newEvents(rapid.IntRange(1, 4).Draw(r, "events"))
	for i := range events {
		events[i].Type = rapid.SampledFrom(modelTypes).Draw(r, "type")
		events[i].OccurredAt = modelTime(r, "occurred at")
	}
	return events
}

func modelTime(r *rapid.T, label string) time.Time {
	return time.Date(2026, 2, 3, 4, rapid.IntRange(0, 9).Draw(r, label), 0, 0, time.UTC)
}

func (m *model) expected(r *rapid.T, stream string) eventstore.ExpectedVersion {
	version := m.versions[stream]
	return eventstore.ExpectedVersion(max(-1, version+rapid.SampledFrom([]int64{0, 0, 0, 1, -1, -1 - version}).Draw(r, "off by")))
}

func (m *model) fits(a eventstore.Append) bool {
	return a.Expected == eventstore.AnyVersion || int64(a.Expected) == m.versions[a.Stream]
}

func (m *model) appended(a eventstore.Append) {
	m.versions[a.Stream] += int64(len(a.Events))
	m.history[a.Stream] = append(m.history[a.Stream], a.Events...)
	for _, event := range a.Events {
		m.ids[event.ID] = true
	}
}

func (m *model) append(t *testing.T, r *rapid.T, store StoreUnderTest) {
	stream := rapid.SampledFrom(m.streams).Draw(r, "stream")
	a := eventstore.Append{Stream: stream, Expected: m.expected(r, stream), Events: m.events(r)}
	if rapid.Bool().Draw(r, "release") {
		a.Release = []string{"username"}
	}
	var key string
	if rapid.Bool().Draw(r, "reserve") {
		key = fmt.Sprint(m.run, rapid.IntRange(1, 3).Draw(r, "name"))
		hash := sha256.Sum256([]byte(key))
		a.Reserve = []eventstore.Reservation{{Kind: "username", Hash: hash[:], KeyID: "1"}}
	}
	if rapid.Bool().Draw(r, "command") {
		a.Command = newCommand()
		a.Command.Key = fmt.Sprint(m.run, rapid.IntRange(1, 20).Draw(r, "command key"))
	}
	appended, err := store.Append(t.Context(), a)
	if a.Command != nil {
		if first, known := m.commands[a.Command.Key]; known {
			if err != nil || !appended.Replayed || appended.Position != first {
				r.Fatalf("a repeated command was answered with %+v, %v; want %+v", appended, err, first)
			}
			return
		}
	}
	holder, held := m.holders[key]
	fits := m.fits(a)
	var reserved *eventstore.ReservedError
	switch {
	case key != "" && held && holder != stream:
		// A wrong version besides may be told of first.
		if !errors.As(err, &reserved) && (fits || !errors.Is(err, eventstore.ErrWrongVersion)) {
			r.Fatalf("a name of another stream: %v", err)
		}
		return
	case !fits:
		if !errors.Is(err, eventstore.ErrWrongVersion) {
			r.Fatalf("expected version %d of %d: %v", a.Expected, m.versions[stream], err)
		}
		return
	case err != nil:
		r.Fatalf("append: %v", err)
	}
	m.appended(a)
	if appended.Position.Version != m.versions[stream] || appended.Replayed {
		r.Fatalf("appended %+v, want version %d", appended, m.versions[stream])
	}
	if len(a.Release) > 0 {
		for taken, by := range m.holders {
			if by == stream {
				delete(m.holders, taken)
			}
		}
	}
	if key != "" {
		m.holders[key] = stream
	}
	if a.Command != nil {
		m.commands[a.Command.Key] = appended.Position
	}
}

// appendAll appends to some of the streams at once, all of it or nothing.
func (m *model) appendAll(t *testing.T, r *rapid.T, store StoreUnderTest) {
	var appends []eventstore.Append
	var refused []string
	for _, stream := range rapid.Permutation(m.streams).Draw(r, "streams")[:rapid.IntRange(1, len(m.streams)).Draw(r, "how many")] {
		a := eventstore.Append{Stream: stream, Expected: m.expected(r, stream), Events: m.events(r)}
		if appends = append(appends, a); !m.fits(a) {
			refused = append(refused, stream)
		}
	}
	var command *eventstore.Command
	if rapid.Bool().Draw(r, "command") {
		command = newCommand()
		command.Key = fmt.Sprint(m.run, "all", rapid.IntRange(1, 10).Draw(r, "command key"))
	}
	outcomes, err := store.AppendAll(t.Context(), appends, command)
	if command != nil {
		if first, known := m.commands[command.Key]; known {
			if err != nil || len(outcomes) != 1 || !outcomes[0].Replayed || outcomes[0].Position != first {
				r.Fatalf("a repeated bulk was answered with %+v, %v; want %+v", outcomes, err, first)
			}
			return
		}
	}
	if len(refused) > 0 {
		var at *eventstore.StreamError
		if !errors.Is(err, eventstore.ErrWrongVersion) || !errors.As(err, &at) || !slices.Contains(refused, at.Stream) {
			r.Fatalf("a bulk of which %v do not fit: %v", refused, err)
		}
		return
	}
	if err != nil || len(outcomes) != len(appends) {
		r.Fatalf("append all: %d outcomes of %d, %v", len(outcomes), len(appends), err)
	}
	for i, a := range appends {
		m.appended(a)
		if at := outcomes[i].Position; at.Stream != a.Stream || at.Version != m.versions[a.Stream] || outcomes[i].Replayed {
			r.Fatalf("appended %+v, want version %d of %s", outcomes[i], m.versions[a.Stream], a.Stream)
		}
	}
	if command != nil {
		m.commands[command.Key] = outcomes[0].Position
	}
}

func (m *model) readLog(t *testing.T, r *rapid.T, store StoreUnderTest) {
	limit := rapid.IntRange(1, 12).Draw(r, "limit")
	page, err := store.ReadLog(t.Context(), m.cursor, limit, 0)
	if err != nil {
		r.Fatalf("read log: %v", err)
	}
	m.cursor = page.Next
	for _, event := range page.Events {
		if !m.ids[event.ID] {
			r.Fatalf("%s version %d was delivered twice, or never appended", event.Stream, event.Version)
		}
		delete(m.ids, event.ID)
		if event.Version != m.delivered[event.Stream]+1 {
			r.Fatalf("%s version %d was delivered after %d", event.Stream, event.Version, m.delivered[event.Stream])
		}
		m.delivered[event.Stream] = event.Version
	}
	if len(page.Events) > limit || (page.AtHead && len(m.ids) > 0) {
		r.Fatalf("%d events by %d, at the head %v with %d undelivered", len(page.Events), limit, page.AtHead, len(m.ids))
	}
	if page.AtHead != (page.Remaining == 0) || page.Remaining < 0 {
		r.Fatalf("at the head %v, and %d are left", page.AtHead, page.Remaining)
	}
	m.passed = append(m.passed, passed{m.cursor, maps.Clone(m.delivered)})
}

// readAgain goes on from a cursor that it has been at, to the head, and looks at
// what a filter chooses.
func (m *model) readAgain(t *testing.T, r *rapid.T, store StoreUnderTest) {
	from := rapid.SampledFrom(m.passed).Draw(r, "from")
	limit := rapid.IntRange(5, 50).Draw(r, "limit")
	var filter eventstore.Filter
	if rapid.Bool().Draw(r, "by type") {
		filter.Types = rapid.Permutation(modelTypes).Draw(r, "types")[:rapid.IntRange(1, 2).Draw(r, "how many")]
	}
	if rapid.Bool().Draw(r, "by stream") {
		name := rapid.SampledFrom(m.streams).Draw(r, "stream")
		filter.Stream = name[:rapid.IntRange(len("thing-"), len(name)).Draw(r, "so much of it")]
	}
	want, all := map[string][]uuid.UUID{}, 0
	for stream, events := range m.history {
		for _, event := range events[from.versions[stream]:] {
			all++
			if strings.HasPrefix(stream, filter.Stream) && (filter.Types == nil || slices.Contains(filter.Types, event.Type)) {
				want[stream] = append(want[stream], event.ID)
			}
		}
	}
	got := map[string][]uuid.UUID{}
	cursor := from.cursor
	for pages := 0; ; pages++ {
		page, err := store.ReadMatching(t.Context(), filter, cursor, limit, 0)
		if err != nil || len(page.Events) > limit || pages > 2*all+2 {
			r.Fatalf("page %d of %+v by %d has %d events, %v", pages, filter, limit, len(page.Events), err)
		}
		for _, event := range page.Events {
			got[event.Stream] = append(got[event.Stream], event.ID)
		}
		if cursor = page.Next; page.AtHead {
			break
		}
	}
	if !maps.EqualFunc(want, got, slices.Equal) {
		r.Fatalf("%+v from %+v: read %v, want %v", filter, from, got, want)
	}
}

func (m *model) readStream(t *testing.T, r *rapid.T, store StoreUnderTest) {
	stream := rapid.SampledFrom(m.streams).Draw(r, "stream")
	from := rapid.Int64Range(1, m.versions[stream]+2).Draw(r, "from")
	limit := rapid.IntRange(1, 12).Draw(r, "limit")
	want := m.history[stream][min(from-1, m.versions[stream]):]
	var events []eventstore.Event
	var err error
	if reader, ok := store.(untilReader); ok && rapid.Bool().Draw(r, "up to a time") {
		until := modelTime(r, "until")
		if later := slices.IndexFunc(want, func(event eventstore.Event) bool { return event.OccurredAt.After(until) }); later >= 0 {
			want = want[:later]
		}
		events, err = reader.ReadStreamUntil(t.Context(), stream, from, limit, until)
	} else {
		events, err = store.ReadStream(t.Context(), stream, from, limit)
	}
	if err != nil {
		r.Fatalf("read stream: %v", err)
	}
	if want = want[:min(len(want), limit)]; len(events) != len(want) {
		r.Fatalf("%d events from version %d of %d by %d, want %d", len(events), from, m.versions[stream], limit, len(want))
	}
	for i, event := range events {
		if event.Version != from+int64(i) || event.ID != want[i].ID || event.Type != want[i].Type || !event.OccurredAt.Equal(want[i].OccurredAt) {
			r.Fatalf("version %d is %+v, want %+v", from+int64(i), event, want[i])
		}
	}
}
