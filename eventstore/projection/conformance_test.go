package projection

import (
	"context"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
)

func TestTheLogOfTestsKeepsWhatProjectionsRelyOn(t *testing.T) {
	t.Parallel()
	eventtest.RunReader(t, func(*testing.T) eventtest.ReaderUnderTest { return appendable{newFakeLog()} })
}

// appendable is the log of tests as one that is appended to at any version.
type appendable struct{ *fakeLog }

func (a appendable) Append(_ context.Context, wanted eventstore.Append) (eventstore.Appended, error) {
	a.mu.Lock()
	for _, event := range wanted.Events {
		a.heads[wanted.Stream]++
		event.Log, event.Epoch, event.Stream = a.name, a.epoch, wanted.Stream
		event.Version, event.Shard = a.heads[wanted.Stream], eventstore.ShardOf(wanted.Stream)
		a.events = append(a.events, event)
	}
	a.wake()
	a.mu.Unlock()
	return eventstore.Appended{Position: a.position(wanted.Stream)}, nil
}
