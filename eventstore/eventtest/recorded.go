package eventtest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/seal"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
)

// Recorded is a log that lies in a file, and its keys: a log of a former version
// of the program, which every later one has to read.
type Recorded struct {
	events []eventstore.Event
	keys   map[string]seal.Key
}

var (
	_ eventlog.Reader = (*Recorded)(nil)
	_ seal.Keys       = (*Recorded)(nil)
)

// OpenRecorded reads events.jsonl (a muster.eventlog.v1.Event a line, as proto3
// JSON) and keys.jsonl (a muster.keyring.v1.Key a line) of a directory.
func OpenRecorded(t testing.TB, directory string) *Recorded {
	t.Helper()
	r := &Recorded{keys: map[string]seal.Key{}}
	for _, line := range lines(t, filepath.Join(directory, "events.jsonl")) {
		recorded := &eventlogv1.Event{}
		unmarshal(t, line, recorded)
		event, err := eventlog.FromProto(recorded)
		if err != nil {
			t.Fatal(err)
		}
		r.events = append(r.events, event)
	}
	for _, line := range lines(t, filepath.Join(directory, "keys.jsonl")) {
		recorded := &keyringv1.Key{}
		unmarshal(t, line, recorded)
		key := seal.Key{ID: recorded.GetKeyId(), State: seal.Destroyed}
		if recorded.GetState() == keyringv1.KeyState_KEY_STATE_ALIVE {
			key.State, key.Bytes = seal.Alive, seal.NewSecret(recorded.GetKey())
		}
		r.keys[key.ID] = key
	}
	return r
}

func lines(t testing.TB, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

func unmarshal(t testing.TB, line []byte, into proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(line, into); err != nil {
		t.Fatal(err)
	}
}

// Events are all events, in their order.
func (r *Recorded) Events() []eventstore.Event { return r.events }

// ReadLog reads as eventstore.LogReader says. At the head nothing ever comes.
func (r *Recorded) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	return r.ReadMatching(ctx, eventstore.Filter{}, after, limit, wait)
}

// Head is an empty page at the end.
func (r *Recorded) Head(context.Context) (eventstore.Page, error) {
	return eventstore.Page{Next: eventstore.Cursor(strconv.Itoa(len(r.events))), Epoch: 1, AtHead: true}, nil
}

// ReadMatching reads as eventstore.FilteredReader says.
func (r *Recorded) ReadMatching(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	at := 0
	if after != "" {
		var err error
		if at, err = strconv.Atoi(string(after)); err != nil || at < 0 || at > len(r.events) {
			return eventstore.Page{}, eventstore.ErrCursorInvalid
		}
	}
	next := min(at+max(limit, 1), len(r.events))
	var events []eventstore.Event
	for _, event := range r.events[at:next] {
		if strings.HasPrefix(event.Stream, filter.Stream) && (len(filter.Types) == 0 || slices.Contains(filter.Types, event.Type)) {
			events = append(events, event)
		}
	}
	if at == next && wait > 0 {
		waited := time.NewTimer(wait)
		defer waited.Stop()
		select {
		case <-ctx.Done():
			return eventstore.Page{}, ctx.Err()
		case <-waited.C:
		}
	}
	return eventstore.Page{
		Events: events, Next: eventstore.Cursor(strconv.Itoa(next)), Epoch: 1,
		AtHead: next == len(r.events), Remaining: int64(len(r.events) - next),
	}, nil
}

// ReadStream reads as eventstore.StreamReader says.
func (r *Recorded) ReadStream(_ context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	var events []eventstore.Event
	for _, event := range r.events {
		if event.Stream == stream && event.Version >= from && len(events) < limit {
			events = append(events, event)
		}
	}
	return events, nil
}

// Get implements seal.Keys.
func (r *Recorded) Get(_ context.Context, ids []string) (map[string]seal.Key, error) {
	keys := make(map[string]seal.Key, len(ids))
	for _, id := range ids {
		key := r.keys[id] // unknown where it is not there
		key.ID = id
		keys[id] = key
	}
	return keys, nil
}
