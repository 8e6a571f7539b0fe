package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore"
)

func TestAppendKeepsEveryColumn(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	event := newEvents(t, 1)[0]
	event.Sealed, event.KeyID = []byte{0, 1, 0xff}, "0192c0de-0000-7000-8000-000000000001"
	event.MetadataSealed, event.MetadataKeyID = []byte{9, 0, 0xfe}, "0192c0de-0000-7000-8000-000000000002"
	event.Metadata = eventstore.Metadata{Actor: "user-1", OnBehalfOf: "user-2", RequestID: "r", TraceParent: "00-1", Causation: "c"}
	appended, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: []eventstore.Event{event}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (eventstore.Position{Log: "identity", Epoch: log.Epoch(), Stream: stream, Version: 1}); appended.Position != want || appended.Replayed {
		t.Fatalf("appended %+v, want %+v", appended, want)
	}
	read, err := log.ReadStream(t.Context(), stream, 1, 10)
	if err != nil || len(read) != 1 {
		t.Fatalf("read %d events, %v", len(read), err)
	}
	event.Log, event.Epoch, event.Stream, event.Version, event.Shard = "identity", log.Epoch(), stream, 1, eventstore.ShardOf(stream)
	if got, want := fmt.Sprintf("%+v", read[0]), fmt.Sprintf("%+v", event); got != want {
		t.Errorf("read\n%s\nwant\n%s", got, want)
	}
}

func TestAppendProvesThePredecessor(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	try := func(expected eventstore.ExpectedVersion) error {
		_, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected, Events: newEvents(t, 1)})
		return err
	}
	for name, expected := range map[string]eventstore.ExpectedVersion{"a blind second": 1, "a ninth": 8} {
		if err := try(expected); !errors.Is(err, eventstore.ErrWrongVersion) {
			t.Errorf("%s version on an empty stream: %v, want ErrWrongVersion", name, err)
		}
	}
	mustAppend(t, log.Log, stream, eventstore.NoStream, 1)
	for name, expected := range map[string]eventstore.ExpectedVersion{"version 9 after 1": 8, "version 1 again": 0} {
		if err := try(expected); !errors.Is(err, eventstore.ErrWrongVersion) {
			t.Errorf("%s: %v, want ErrWrongVersion", name, err)
		}
	}
	if err := try(1); err != nil {
		t.Errorf("version 2 after 1: %v", err)
	}
}

func TestAppendRefusesANextVersionBeforeItsPredecessorIsCommitted(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	tx, err := log.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // ended below
	if _, err := publish(t.Context(), tx.Exec, "identity", addition{stream: stream, events: newEvents(t, 1)}); err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: 1, Events: newEvents(t, 1)})
	if !errors.Is(err, eventstore.ErrWrongVersion) {
		t.Fatalf("a blind second version: %v, want ErrWrongVersion", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log.Log, stream, 1, 1)
}

func TestAppendWaitsForALockABoundedTime(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	tx, err := log.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	if _, err := publish(t.Context(), tx.Exec, "identity", addition{stream: stream, events: newEvents(t, 1)}); err != nil {
		t.Fatal(err)
	}
	impatient := log.pool.Config()
	impatient.ConnConfig.RuntimeParams["lock_timeout"] = "50ms"
	conn, err := pgx.ConnectConfig(t.Context(), impatient.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	err = log.insert(t.Context(), conn.Exec, []addition{{stream: stream, events: newEvents(t, 1)}})
	if !errors.Is(err, ErrBusy) {
		t.Fatalf("an append behind an open one: %v, want ErrBusy", err)
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	tx, err := log.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
	if _, err := publish(t.Context(), tx.Exec, "identity", addition{stream: stream, events: newEvents(t, 1)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// Watermill's publisher has a context of its own; the command's has to win.
	_, err = log.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(t, 1)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an append past its deadline: %v, want DeadlineExceeded", err)
	}
}

func TestConcurrentDuplicatesOfACommandAreExecutedOnce(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	command := &eventstore.Command{Caller: "anonymous", Method: "Register", Key: "0123456789abcdef", Fingerprint: bytes.Repeat([]byte{1}, 32)}
	const callers = 16
	type outcome struct {
		appended eventstore.Appended
		err      error
	}
	outcomes := make([]outcome, callers)
	appends := make([]eventstore.Append, callers)
	for i := range appends {
		// Each has made an id of its own for the new stream, and wants the same name.
		appends[i] = eventstore.Append{
			Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(t, 2), Command: command,
			Reserve: []eventstore.Reservation{{Kind: "username", Hash: bytes.Repeat([]byte{7}, 32), KeyID: "k"}},
		}
	}
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i].appended, outcomes[i].err = log.Append(t.Context(), appends[i]) })
	}
	all.Wait()
	executed := 0
	for _, o := range outcomes {
		if o.err != nil {
			t.Fatalf("a duplicate was not answered: %v", o.err)
		}
		if o.appended.Position != outcomes[0].appended.Position {
			t.Errorf("answered with %v and %v", o.appended.Position, outcomes[0].appended.Position)
		}
		if !o.appended.Replayed {
			executed++
		}
	}
	if events := readAll(t, log.Log, 100); executed != 1 || len(events) != 2 {
		t.Errorf("executed %d times, %d events; want once, 2", executed, len(events))
	}
}

func TestABulkIsBounded(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	appends := make([]eventstore.Append, maxBulk/maxEvents+1)
	for i := range appends {
		appends[i] = eventstore.Append{Stream: newStream(), Events: newEvents(t, maxEvents)}
	}
	if _, err := log.AppendAll(t.Context(), appends, nil); err == nil {
		t.Fatalf("%d events were accepted", maxEvents*len(appends))
	}
	appends[0].Events = newEvents(t, maxEvents+1)
	if _, err := log.AppendAll(t.Context(), appends[:1], nil); err == nil {
		t.Fatalf("%d events of one stream were accepted", maxEvents+1)
	}
	if events := readAll(t, log.Log, maxPage); len(events) != 0 {
		t.Errorf("%d events were written", len(events))
	}
	if _, err := log.AppendAll(t.Context(), appends[1:], nil); err != nil {
		t.Errorf("%d events: %v", maxBulk, err)
	}
}

func TestAConflictIsRetriedABoundedNumberOfTimes(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	// A trigger that refuses each row as a concurrent append would.
	log.asOwner(t, `
CREATE FUNCTION log.always_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE unique_violation USING CONSTRAINT = 'events_stream_version_is_unique';
END $$`)
	log.asOwner(t, `CREATE TRIGGER always_taken BEFORE INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION log.always_taken()`)
	for expected, want := range map[eventstore.ExpectedVersion]int64{eventstore.AnyVersion: appendAttempts, eventstore.NoStream: 1} {
		before := log.counts.conflicts.Load()
		_, err := log.Append(t.Context(), eventstore.Append{Stream: newStream(), Expected: expected, Events: newEvents(t, 1)})
		if !errors.Is(err, eventstore.ErrWrongVersion) {
			t.Errorf("expected version %d: %v, want ErrWrongVersion", expected, err)
		}
		if tried := log.counts.conflicts.Load() - before; tried != want {
			t.Errorf("expected version %d was tried %d times, want %d", expected, tried, want)
		}
	}
}

func TestConcurrentAppendsAtAnyVersionAllSucceed(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	const writers, each = 4, 5
	stream := newStream()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: newEvents(t, 2)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	events, err := log.ReadStream(t.Context(), stream, 1, 1000)
	if err != nil || len(events) != 2*writers*each || events[len(events)-1].Version != int64(len(events)) {
		t.Errorf("%d events, %v; want %d without gaps", len(events), err, 2*writers*each)
	}
}

func TestCommandsExpire(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	command := &eventstore.Command{Caller: "user-1", Method: "Register", Key: "0123456789abcdef", Fingerprint: bytes.Repeat([]byte{1}, 32)}
	other := *command
	other.Fingerprint = bytes.Repeat([]byte{2}, 32)
	stream := newStream()
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: newEvents(t, 1), Command: command}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := log.FindCommand(t.Context(), other); !errors.Is(err, eventstore.ErrCommandReused) {
		t.Fatalf("another request with the same key: %v, want ErrCommandReused", err)
	}
	log.asOwner(t, `UPDATE log.commands SET expires_at = now() - interval '1 second'`)
	if _, found, err := log.FindCommand(t.Context(), *command); found || err != nil {
		t.Fatalf("an expired command: found %v, %v", found, err)
	}
	// The row that is still there counts as none.
	appended, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: 1, Events: newEvents(t, 1), Command: &other})
	if err != nil || appended.Replayed {
		t.Fatalf("a key used again after it expired: %+v, %v", appended, err)
	}
	if swept, err := log.SweepCommands(t.Context()); swept != 0 || err != nil {
		t.Fatalf("swept %d live commands, %v", swept, err)
	}
	log.asOwner(t, `UPDATE log.commands SET expires_at = now() - interval '1 second'`)
	if swept, err := log.SweepCommands(t.Context()); swept != 1 || err != nil {
		t.Fatalf("swept %d expired commands, %v; want 1", swept, err)
	}
}

func TestReservedTellsTheKindsThatAreTaken(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	username := eventstore.Reservation{Kind: "username", Hash: bytes.Repeat([]byte{1}, 32), KeyID: "k"}
	email := eventstore.Reservation{Kind: "email", Hash: bytes.Repeat([]byte{1}, 32), KeyID: "k"}
	if _, err := log.Append(t.Context(), eventstore.Append{
		Stream: newStream(), Expected: eventstore.NoStream, Events: newEvents(t, 1), Reserve: []eventstore.Reservation{email, email},
	}); err != nil {
		t.Fatal(err)
	}
	taken, err := log.Reserved(t.Context(), []eventstore.Reservation{username, email})
	if err != nil || len(taken) != 1 || taken[0] != "email" {
		t.Errorf("taken: %v, %v; want email", taken, err)
	}
}

func TestTheRuntimeRoleCannotChangeWhatIsRecorded(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	for _, statement := range []string{
		`UPDATE log.events SET payload = '{}'`,
		`DELETE FROM log.events`,
		`TRUNCATE log.events`,
		`ALTER TABLE log.events DROP COLUMN payload`,
		`DROP TABLE log.events`,
		`CREATE TABLE log.mine ()`,
		`UPDATE log.epochs SET epoch = 2`,
	} {
		_, err := log.pool.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" { // insufficient_privilege
			t.Errorf("%s: %v, want permission denied", statement, err)
		}
	}
}
