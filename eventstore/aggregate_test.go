package eventstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/muster-id/muster/eventstore"
)

// counter folds how many events it has seen.
type counter struct{ events int }

func (c *counter) Apply(eventstore.Opened) { c.events++ }

// plain is a codec that seals nothing; every event is the subject's.
type plain struct{}

func (plain) Encode(context.Context, []eventstore.Draft) error { return nil }

func (plain) Decode(_ context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	opened := make([]eventstore.Opened, len(events))
	for i, event := range events {
		opened[i] = eventstore.Opened{Event: event, Subject: true}
	}
	return opened, nil
}

// contested is a log of one stream to which somebody else appends first, as
// often as it is told.
type contested struct {
	events []eventstore.Event
	rivals int
	tries  int
}

func (c *contested) ReadStream(_ context.Context, _ string, from int64, limit int) ([]eventstore.Event, error) {
	rest := c.events[min(int(from-1), len(c.events)):]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

func (c *contested) Append(_ context.Context, a eventstore.Append) (eventstore.Appended, error) {
	c.tries++
	if c.rivals > 0 {
		c.rivals--
		c.add(eventstore.Event{})
	}
	if int(a.Expected) != len(c.events) {
		return eventstore.Appended{}, eventstore.ErrWrongVersion
	}
	for _, event := range a.Events {
		c.add(event)
	}
	return eventstore.Appended{Position: eventstore.Position{Version: int64(len(c.events))}}, nil
}

func (c *contested) add(event eventstore.Event) {
	event.Version, event.Epoch = int64(len(c.events)+1), 7
	if event.KeyID == "" {
		event.KeyID = "the person's key"
	}
	event.OccurredAt = time.Unix(event.Version, 0)
	c.events = append(c.events, event)
}

func repository(log *contested) *eventstore.Repository[*counter] {
	return &eventstore.Repository[*counter]{
		Log: "test", Store: log, Codec: plain{}, New: func() *counter { return &counter{} },
		Now: func() time.Time { return time.Unix(0, 0) }, NewID: uuid.NewV7,
	}
}

func one(eventstore.Loaded[*counter]) (eventstore.Change, error) {
	return eventstore.Change{Messages: []proto.Message{wrapperspb.String("happened")}}, nil
}

// Who was overtaken decides again on the newer state, and then appends.
func TestUpdateDecidesAgainWhenOvertaken(t *testing.T) {
	t.Parallel()
	log := &contested{rivals: 3}
	log.add(eventstore.Event{})
	var seen []int64
	_, err := repository(log).Update(t.Context(), "s", eventstore.Context{}, func(l eventstore.Loaded[*counter]) (eventstore.Change, error) {
		seen = append(seen, l.Version)
		return one(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{1, 2, 3, 4}; !slices.Equal(seen, want) {
		t.Errorf("decided at versions %v, want %v", seen, want)
	}
}

// It gives up after five tries, so that a hot stream cannot hold a call for ever.
func TestUpdateGivesUpAfterFiveTries(t *testing.T) {
	t.Parallel()
	log := &contested{rivals: 100}
	log.add(eventstore.Event{})
	if _, err := repository(log).Update(t.Context(), "s", eventstore.Context{}, one); !errors.Is(err, eventstore.ErrWrongVersion) {
		t.Errorf("got %v, want ErrWrongVersion", err)
	}
	if log.tries != 5 {
		t.Errorf("tried %d times, want 5", log.tries)
	}
}

// A decision without messages appends nothing and tells where the stream stands.
func TestUpdateWithoutMessagesAppendsNothing(t *testing.T) {
	t.Parallel()
	log := &contested{}
	log.add(eventstore.Event{})
	appended, err := repository(log).Update(t.Context(), "s", eventstore.Context{}, func(eventstore.Loaded[*counter]) (eventstore.Change, error) {
		return eventstore.Change{}, nil
	})
	want := eventstore.Position{Log: "test", Epoch: 7, Stream: "s", Version: 1}
	if err != nil || appended.Position != want || log.tries != 0 {
		t.Errorf("got %+v, %v after %d appends; want %+v after none", appended.Position, err, log.tries, want)
	}
}

// A stream of many pages is folded whole, or up to the version asked for; one
// without events is not found.
func TestLoadFoldsPagesUpToAVersion(t *testing.T) {
	t.Parallel()
	log := &contested{}
	repository := repository(log)
	if _, err := repository.Load(t.Context(), "s", 0); !errors.Is(err, eventstore.ErrStreamNotFound) {
		t.Errorf("got %v, want ErrStreamNotFound", err)
	}
	for range 1203 {
		log.add(eventstore.Event{})
	}
	for upTo, want := range map[int64]int{0: 1203, 1: 1, 500: 500, 501: 501, 1203: 1203} {
		loaded, err := repository.Load(t.Context(), "s", upTo)
		if err != nil || loaded.State.events != want || loaded.Version != int64(want) {
			t.Errorf("up to %d: folded %d, at version %d, %v; want %d", upTo, loaded.State.events, loaded.Version, err, want)
		}
		if loaded.SubjectKey != "the person's key" || !loaded.FirstAt.Equal(time.Unix(1, 0)) || !loaded.LastAt.Equal(time.Unix(int64(want), 0)) {
			t.Errorf("up to %d: %+v", upTo, loaded)
		}
	}
}

// Who forgets a stream has to know every key that opens something of it, and
// must not destroy the key of an administrator who has worked on it.
func TestLoadNamesTheKeysOfTheStreamEachOnce(t *testing.T) {
	t.Parallel()
	log := &contested{}
	for _, key := range []string{"", "first password's", "", "second password's", ""} {
		log.add(eventstore.Event{KeyID: key, MetadataKeyID: "an administrator's"})
	}
	loaded, err := repository(log).Load(t.Context(), "s", 0)
	if want := []string{"the person's key", "first password's", "second password's"}; err != nil || !slices.Equal(loaded.KeyIDs, want) {
		t.Errorf("keys %q, %v; want %q", loaded.KeyIDs, err, want)
	}
}
