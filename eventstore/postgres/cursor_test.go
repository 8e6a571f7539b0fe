package postgres

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
)

func drawSnapshot(t *rapid.T, least uint64) snapshot {
	least |= 1 // an id's lower half is never 0
	xip := rapid.SliceOfNDistinct(rapid.Uint64Range(least, least+1<<40), 0, 20, rapid.ID).Draw(t, "xip")
	slices.Sort(xip)
	return snapshot{xmin: least, xmax: least + 1<<40 + 1, xip: xip}
}

func drawLifetime(t *rapid.T) lifetime {
	return lifetime(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "lifetime"))
}

func TestCursorsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	r := newReader("identity", 3, 0)
	rapid.Check(t, func(t *rapid.T) {
		p := place{lifetime: drawLifetime(t), old: drawSnapshot(t, rapid.Uint64Range(3, 1<<50).Draw(t, "old"))}
		if rapid.Bool().Draw(t, "has read an event") {
			p.last = mark{offset: rapid.Int64Range(1, 1<<60).Draw(t, "last"), id: drawLifetime(t)}
		}
		if rapid.Bool().Draw(t, "in a tick") {
			p.new = drawSnapshot(t, p.old.xmax)
			p.reached = rapid.Int64Range(0, 1<<60).Draw(t, "reached")
			p.bound = rapid.SampledFrom([]int64{0, p.reached + 1, p.reached + 1<<40}).Draw(t, "bound")
		}
		back, err := r.decode(r.encode(p))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
			t.Fatalf("%v came back as %v, %v", p, back, err)
		}
		text, err := parseSnapshot(p.old.String())
		if err != nil || fmt.Sprint(text) != fmt.Sprint(p.old) {
			t.Fatalf("%v was read as %v, %v", p.old, text, err)
		}
	})
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	r := newReader("identity", 3, 0)
	p := place{old: snapshot{xmin: 10, xmax: 20, xip: []uint64{10, 12}}}
	for name, tried := range map[string]struct {
		cursor eventstore.Cursor
		want   error
	}{
		"another log's":          {newReader("media", 3, 0).encode(p), eventstore.ErrCursorInvalid},
		"a former epoch's":       {newReader("identity", 2, 0).encode(p), eventstore.ErrEpochChanged},
		"a longer one":           {r.encode(p) + "AA", eventstore.ErrCursorInvalid},
		"a shorter one":          {r.encode(p)[:20], eventstore.ErrCursorInvalid},
		"an enormous one":        {eventstore.Cursor(strings.Repeat("A", maxCursor+4)), eventstore.ErrCursorInvalid},
		"one past its bound":     {r.encode(place{old: beforeAll(), new: p.old, reached: 9, bound: 9}), eventstore.ErrCursorInvalid},
		"an impossible one":      {r.encode(place{old: snapshot{xmin: 1 << 32, xmax: 1 << 32}}), eventstore.ErrCursorInvalid},
		"no base64":              {"not a cursor!", eventstore.ErrCursorInvalid},
		"a number with a detour": {eventstore.Cursor(base64.RawURLEncoding.EncodeToString([]byte("\x03\x08identity\x83\x00sixteen letters.\x00\x0a\x0a\x00"))), eventstore.ErrCursorInvalid},
	} {
		if _, err := r.decode(tried.cursor); !errors.Is(err, tried.want) {
			t.Errorf("%s: %v, want %v", name, err, tried.want)
		}
	}
	var back *setBackError
	if _, err := r.decode(newReader("identity", 4, 0).encode(p)); !errors.As(err, &back) || back.seen != 4 {
		t.Errorf("a later epoch's: %v, want that the log was set back", err)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	r := newReader("identity", 3, 0)
	f.Add("")
	f.Add(string(r.encode(place{old: snapshot{xmin: 10, xmax: 20, xip: []uint64{10, 12}}})))
	f.Add(string(r.encode(place{old: snapshot{xmin: 10, xmax: 10}, last: mark{offset: 300, id: [16]byte{1}}})))
	f.Add(string(r.encode(place{old: beforeAll(), new: snapshot{xmin: 5, xmax: 5}, reached: 7, bound: 9})))
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := r.decode(eventstore.Cursor(cursor))
		if err != nil {
			var back *setBackError
			if !errors.Is(err, eventstore.ErrCursorInvalid) && !errors.Is(err, eventstore.ErrEpochChanged) && !errors.As(err, &back) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if cursor != "" && string(r.encode(p)) != cursor {
			t.Fatalf("%q has a second spelling %q", cursor, r.encode(p))
		}
		if !p.old.valid() || (p.inTick() && !p.new.valid()) {
			t.Fatalf("%q holds a snapshot that the server would refuse", cursor)
		}
	})
}
