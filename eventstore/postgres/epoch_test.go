package postgres

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
)

func TestProcessesThatOpenALogAtOnceBeginOneEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	log.asOwner(t, `UPDATE log.epochs SET timeline = 99`)
	var opening sync.WaitGroup
	epochs := make([]int64, 8)
	for i := range epochs {
		again := openPool(t, log.urls.Runtime)
		opening.Go(func() {
			opened, err := Open(t.Context(), again, "identity", nil)
			if err != nil {
				t.Error(err)
				return
			}
			epochs[i] = opened.Epoch()
		})
	}
	opening.Wait()
	for _, epoch := range epochs {
		if epoch != epochs[0] || epoch <= log.Epoch() {
			t.Errorf("entered epochs %v after %d, want one and the same", epochs, log.Epoch())
		}
	}
}

func TestASecondLogOfAPoolKnowsItsEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	pool := openPool(t, log.urls.Runtime)
	for range 2 * int(pool.Config().MaxConns) { // one of them takes a connection that another log knows
		opened, err := Open(t.Context(), pool, "identity", nil)
		if err != nil || opened.current.Load() == nil || opened.Epoch() != log.Epoch() {
			t.Fatalf("epoch known %t, %v; want %d", err == nil && opened.current.Load() != nil, err, log.Epoch())
		}
	}
}

func TestALogThatIsStillTheSameKeepsItsEpoch(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	if again := openLog(t, log.urls); again.Epoch() != log.Epoch() {
		t.Errorf("epochs %d and %d", log.Epoch(), again.Epoch())
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
	if restored.Epoch() <= log.Epoch() {
		t.Fatalf("epoch %d after %d", restored.Epoch(), log.Epoch())
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
		if events[0].Epoch != restored.Epoch() {
			t.Errorf("an event of epoch %d, want %d", events[0].Epoch, restored.Epoch())
		}
	}
	// The ids of former events lie in a range that a later tick passes.
	at := now(t, restored)
	log.asOwner(t, `UPDATE log.events SET transaction_id = $1::text::xid8 WHERE "offset" <= 5`, strconv.FormatUint(at.old.xmax, 10))
	mustAppend(t, restored, stream, 7, 1)
	page, err := restored.ReadLog(t.Context(), restored.reader().encode(at), 10, 0)
	if err != nil || len(page.Events) != 1 {
		t.Errorf("a tick gave %d events, %v; want the new one", len(page.Events), err)
	}
}

// A process that runs on while its database is restored finds that on the first
// new connection, before it reads or writes anything by it.
func TestARestoredLogIsNoticedOnANewConnection(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	mustAppend(t, log.Log, stream, eventstore.NoStream, 2)
	former, cursor := log.Epoch(), head(t, log.Log)
	log.asOwner(t, `UPDATE log.epochs SET system_identifier = 1`)
	mustAppend(t, log.Log, stream, 2, 1)
	if log.Epoch() != former {
		t.Fatal("the epoch has changed on an old connection: the test proves nothing")
	}
	log.pool.Reset() // as a server that goes away does
	if _, err := log.ReadLog(t.Context(), cursor, 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("a cursor of the former epoch: %v, want ErrEpochChanged", err)
	}
	if log.Epoch() <= former {
		t.Errorf("epoch %d after %d", log.Epoch(), former)
	}
	if err := compare(t, log.Log, readAll(t, log.Log, 2)); err != nil {
		t.Error(err)
	}
}

// What one process has begun, the others find at their next look.
func TestAnEpochIsEnteredByAllProcesses(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	other := openLog(t, log.urls)
	mustAppend(t, other, newStream(), eventstore.NoStream, 3)
	cursor := head(t, other)
	epoch, err := log.Rebase(t.Context(), "the test")
	if err != nil || epoch != log.Epoch() || epoch <= other.Epoch() {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	if _, err := other.ReadLog(t.Context(), cursor, 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
		t.Errorf("a cursor of the former epoch: %v, want ErrEpochChanged", err)
	}
	if other.Epoch() != epoch {
		t.Errorf("the other process is in epoch %d, want %d", other.Epoch(), epoch)
	}
	if err := compare(t, other, readAll(t, other, 2)); err != nil {
		t.Error(err)
	}
	var reason string
	if err := log.pool.QueryRow(t.Context(), `SELECT reason FROM log.epochs WHERE epoch = $1`, epoch).Scan(&reason); err != nil || reason != "demanded by an operator: the test" {
		t.Errorf("the reason is %q, %v", reason, err)
	}
}

// Nothing is taken out of a log: a reader that has seen more than is there tells
// that it was set back. What was appended since must not pass for what was lost.
func TestAReaderThatHasSeenMoreThanTheLogHasBeginsANewEpoch(t *testing.T) {
	t.Parallel()
	for name, seen := range map[string]func(log *Log, at place) eventstore.Cursor{
		"a later snapshot": func(log *Log, at place) eventstore.Cursor {
			at.old = snapshot{xmin: 1<<40 + 3, xmax: 1<<40 + 3}
			return log.reader().encode(at)
		},
		"an event that is not there": func(log *Log, at place) eventstore.Cursor {
			at.last = mark{offset: 77, id: uuid.New()}
			return log.reader().encode(at)
		},
		"another event in its place": func(log *Log, at place) eventstore.Cursor {
			at.last = mark{offset: 1, id: uuid.New()}
			return log.reader().encode(at)
		},
		"another event in the middle of a tick, after a crash": func(log *Log, at place) eventstore.Cursor {
			at.lifetime = lifetime(uuid.New())
			at.last, at.new, at.bound = mark{offset: 1, id: uuid.New()}, at.old, 9
			return log.reader().encode(at)
		},
		"a later epoch": func(log *Log, at place) eventstore.Cursor {
			return newReader(log.name, log.Epoch()+1<<40, 0).encode(at)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newFixture(t)
			stream := newStream()
			mustAppend(t, log.Log, stream, eventstore.NoStream, 2)
			former := log.Epoch()
			cursor := seen(log.Log, now(t, log.Log))
			var reading sync.WaitGroup
			for range 4 { // of several such readers one begins it
				reading.Go(func() {
					if _, err := log.ReadLog(t.Context(), cursor, 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
						t.Errorf("%v, want ErrEpochChanged", err)
					}
				})
			}
			reading.Wait()
			if log.Epoch() <= former {
				t.Errorf("epoch %d after %d", log.Epoch(), former)
			}
			if name == "a later epoch" && log.Epoch() <= former+1<<40 {
				t.Errorf("epoch %d is not after the one that was seen", log.Epoch())
			}
			var epochs int
			if err := log.pool.QueryRow(t.Context(), `SELECT count(*) FROM log.epochs`).Scan(&epochs); err != nil || epochs != 2 {
				t.Errorf("%d epochs, %v; want 2", epochs, err)
			}
			if err := compare(t, log.Log, readAll(t, log.Log, 2)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A cursor of a reader that was there all the time stays good.
func TestACursorKeepsTheLastEventThatWasRead(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 3)
	former := log.Epoch()
	cursor := head(t, log.Log)
	for range 3 { // also through ticks without events
		page, err := log.ReadLog(t.Context(), cursor, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		cursor = page.Next
	}
	at, err := log.reader().decode(cursor)
	if err != nil || at.last.offset != 3 {
		t.Errorf("the cursor knows event %d, %v; want the third", at.last.offset, err)
	}
	if log.Epoch() != former {
		t.Error("an epoch began")
	}
}

// Rows up to an epoch's start are read once, by their offsets. One that is
// committed after that would be skipped.
func TestAnEpochWaitsForThoseWhoAreWriting(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	tx, err := log.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // after a commit it does nothing
	slow := newStream()
	if _, err := publish(t.Context(), tx.Exec, log.name, addition{stream: slow, events: newEvents(t, 1)}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1) // a greater offset, committed before
	rebased := make(chan error, 1)
	go func() {
		_, err := log.Rebase(t.Context(), "the test")
		rebased <- err
	}()
	select {
	case err := <-rebased:
		t.Fatalf("it has not waited, %v", err)
	case <-time.After(200 * time.Millisecond): // long enough for one that does not wait
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-rebased; err != nil {
		t.Fatal(err)
	}
	if err := compare(t, log.Log, readAll(t, log.Log, 1)); err != nil {
		t.Error(err)
	}
}
