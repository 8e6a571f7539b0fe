package eventtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

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
	holders   map[string]string // name: stream
	commands  map[string]eventstore.Position
	ids       map[uuid.UUID]bool // appended, not yet delivered
	cursor    eventstore.Cursor
	delivered map[string]int64
}

// agreesWithModel runs random appends and reads against the store and a model.
// Each run has streams, names and commands of its own, and reads from where the
// log stood when it began.
func agreesWithModel(t *testing.T, store StoreUnderTest) {
	rapid.Check(t, func(r *rapid.T) {
		_, head, err := readAll(t.Context(), store, 1000)
		if err != nil {
			r.Fatalf("read to the head: %v", err)
		}
		m := &model{
			run: uuid.NewString(), cursor: head,
			versions: map[string]int64{}, holders: map[string]string{}, commands: map[string]eventstore.Position{},
			ids: map[uuid.UUID]bool{}, delivered: map[string]int64{},
		}
		for range 4 {
			m.streams = append(m.streams, newStream())
		}
		r.Repeat(map[string]func(*rapid.T){
			"append":      func(r *rapid.T) { m.append(t, r, store) },
			"read log":    func(r *rapid.T) { m.readLog(t, r, store) },
			"read stream": func(r *rapid.T) { m.readStream(t, r, store) },
		})
	})
}

func (m *model) append(t *testing.T, r *rapid.T, store StoreUnderTest) {
	stream := rapid.SampledFrom(m.streams).Draw(r, "stream")
	version := m.versions[stream]
	a := eventstore.Append{
		Stream:   stream,
		Expected: eventstore.ExpectedVersion(max(-1, version+rapid.SampledFrom([]int64{0, 0, 0, 1, -1, -1 - version}).Draw(r, "off by"))),
		Events:   newEvents(rapid.IntRange(1, 4).Draw(r, "events")),
	}
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
	fits := a.Expected == eventstore.AnyVersion || int64(a.Expected) == version
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
			r.Fatalf("expected version %d of %d: %v", a.Expected, version, err)
		}
		return
	case err != nil:
		r.Fatalf("append: %v", err)
	}
	m.versions[stream] += int64(len(a.Events))
	if appended.Position.Version != m.versions[stream] || appended.Replayed {
		r.Fatalf("appended %+v, want version %d", appended, m.versions[stream])
	}
	for _, event := range a.Events {
		m.ids[event.ID] = true
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
}

func (m *model) readStream(t *testing.T, r *rapid.T, store StoreUnderTest) {
	stream := rapid.SampledFrom(m.streams).Draw(r, "stream")
	from := rapid.Int64Range(1, m.versions[stream]+2).Draw(r, "from")
	limit := rapid.IntRange(1, 12).Draw(r, "limit")
	events, err := store.ReadStream(t.Context(), stream, from, limit)
	if err != nil {
		r.Fatalf("read stream: %v", err)
	}
	if want := max(0, min(int64(limit), m.versions[stream]-from+1)); int64(len(events)) != want {
		r.Fatalf("%d events from version %d of %d by %d, want %d", len(events), from, m.versions[stream], limit, want)
	}
	for i, event := range events {
		if event.Version != from+int64(i) {
			r.Fatalf("version %d, want %d", event.Version, from+int64(i))
		}
	}
}
