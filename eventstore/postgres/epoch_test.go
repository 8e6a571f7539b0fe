package postgres

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/muster-id/muster/eventstore"
)

func TestProcessesThatOpenALogAtOnceBeginOneEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	log.asOwner(t, `UPDATE log.epochs SET timeline = 99`)
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			if epoch, _, err := enterEpoch(t.Context(), log.pool); err != nil || epoch != 2 {
				t.Errorf("entered epoch %d, %v; want 2", epoch, err)
			}
		})
	}
	opening.Wait()
}

func TestALogThatIsStillTheSameKeepsItsEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	if again := openLog(t, log.urls); again.Epoch() != log.Epoch() || again.Epoch() != 1 {
		t.Errorf("epochs %d and %d, want 1", log.Epoch(), again.Epoch())
	}
}

func TestANewEpochRefusesFormerCursorsAndReadsFormerEventsByOffset(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	mustAppend(t, log.Log, stream, eventstore.NoStream, 5)
	cursor := head(t, log.Log)
	// As after a restore into a new cluster: another identifier, and transaction
	// ids that this cluster has not reached.
	log.asOwner(t, `UPDATE log.epochs SET system_identifier = 1`)
	log.asOwner(t, `UPDATE log.events SET transaction_id = '9000000000000'`)
	restored := openLog(t, log.urls)
	if restored.Epoch() != 2 {
		t.Fatalf("epoch %d, want 2", restored.Epoch())
	}
	if _, err := restored.ReadLog(t.Context(), cursor, 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("a cursor of the former epoch: %v, want ErrEpochChanged", err)
	}
	mustAppend(t, restored, stream, 5, 2)
	for _, limit := range []int{1, 3, 100} {
		events := readAll(t, restored, limit)
		if err := compare(t, restored, events); err != nil {
			t.Errorf("pages of %d: %v", limit, err)
		}
		if events[0].Epoch != 2 {
			t.Errorf("an event of epoch %d, want 2", events[0].Epoch)
		}
	}
	// The ids of former events lie in a range that a later tick passes.
	at := now(t, restored)
	log.asOwner(t, `UPDATE log.events SET transaction_id = $1::text::xid8 WHERE "offset" <= 5`, strconv.FormatUint(at.old.xmax, 10))
	mustAppend(t, restored, stream, 7, 1)
	page, err := restored.ReadLog(t.Context(), restored.reader.encode(at), 10, 0)
	if err != nil || len(page.Events) != 1 {
		t.Errorf("a tick gave %d events, %v; want the new one", len(page.Events), err)
	}
}

func TestACursorFromTheFutureIsOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	// As after a disk was set back: the reader has seen what the server has not.
	ahead := now(t, log.Log)
	ahead.old = snapshot{xmin: 1<<40 + 3, xmax: 1<<40 + 3}
	if _, err := log.ReadLog(t.Context(), log.reader.encode(ahead), 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("%v, want ErrEpochChanged", err)
	}
}
