package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/teststack"
)

func TestEachEventIsReadOnceInStreamOrderUnderAdverseWriters(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	if err := adverse(t, log.Log, 5*time.Second); err != nil {
		t.Error(err)
	}
}

// The same tests have to notice a reader with a wrong bound, or they prove nothing.
func TestTheAdverseTestNoticesABrokenReader(t *testing.T) {
	t.Parallel()
	const after, underWay = `transaction_id >= pg_snapshot_xmax($1::pg_snapshot)`, `ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))`
	skips := func(t *testing.T, log fixture) error { return adverse(t, log.Log, 3*time.Second) }
	stalls := func(t *testing.T, log fixture) error {
		return punctual(t, log, log.Log, 2*time.Second, 10*time.Millisecond)
	}
	for name, test := range map[string]struct {
		breakage func(r *reader)
		notices  func(t *testing.T, log fixture) error
	}{
		"forgets transactions that were under way": {func(r *reader) {
			r.look = replaced(t, r.look, underWay, `ANY (ARRAY[]::xid8[])`)
			r.candidates = replaced(t, r.candidates, underWay, `ANY (ARRAY[]::xid8[])`)
		}, skips},
		"begins one transaction late": {func(r *reader) {
			r.look = replaced(t, r.look, after, `transaction_id > pg_snapshot_xmax($1::pg_snapshot)`)
			r.candidates = replaced(t, r.candidates, after, `transaction_id > pg_snapshot_xmax($1::pg_snapshot)`)
		}, skips},
		"sees past the tick's snapshot": {func(r *reader) {
			r.candidates = replaced(t, r.candidates, `pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)`, `true`)
		}, skips},
		"waits for the oldest transaction of the server": {func(r *reader) { stalled(t, r) }, stalls},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newFixture(t)
			broken := log.reader()
			test.breakage(&broken)
			log.current.Store(&broken)
			if err := test.notices(t, log); err == nil {
				t.Error("the broken reader passed")
			} else {
				t.Log(err)
			}
		})
	}
}

func replaced(t testing.TB, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("the statement has no %q any more", old)
	}
	return strings.ReplaceAll(text, old, new)
}

// adverse lets 24 writers take ids early, commit late, roll back and use
// savepoints, behind a transaction of another database that stays open, while
// one reader follows. It says what was skipped, repeated or out of order.
func adverse(t *testing.T, log *Log, length time.Duration) error {
	t.Helper()
	foreign, err := pgx.Connect(t.Context(), teststack.Admin(t).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // its transaction is rolled back
	if _, err := foreign.Exec(t.Context(), `BEGIN; SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}

	streams := make([]string, 48)
	for i := range streams {
		streams[i] = newStream()
	}
	const writers = 24
	ended := make(chan struct{})
	var writing sync.WaitGroup
	stop := time.Now().Add(length)
	for w := range writers {
		writing.Go(func() {
			dice := rand.New(rand.NewPCG(7, uint64(w)))
			for time.Now().Before(stop) {
				if _, err := writeAdversely(t, log, dice, streams[dice.IntN(len(streams))]); err != nil {
					t.Errorf("writer: %v", err)
					return
				}
			}
		})
	}
	go func() {
		writing.Wait()
		close(ended)
	}()

	dice := rand.New(rand.NewPCG(7, 1000))
	var delivered []eventstore.Event
	var cursor eventstore.Cursor
	for last := false; ; {
		page, err := log.ReadLog(t.Context(), cursor, 1+dice.IntN(60), time.Duration(dice.IntN(5))*time.Millisecond)
		if starved(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		delivered = append(delivered, page.Events...)
		cursor = page.Next
		if last && page.AtHead {
			break
		}
		select {
		case <-ended:
			last = true // what is committed by now is seen by the tick after this one
		default:
		}
	}
	<-ended
	return compare(t, log, delivered)
}

// writeAdversely gives what was committed when it returned; nothing where it was
// rolled back or refused.
func writeAdversely(t testing.TB, log *Log, dice *rand.Rand, stream string) ([]eventstore.Event, error) {
	t.Helper()
	events, err := tryAdversely(t.Context(), t, log, dice, stream)
	if starved(err) {
		return nil, nil // whatever has become of it: what is in the table counts
	}
	return events, err
}

// starved tells whether the machine was too busy to answer in time, which is no
// fault of the log.
func starved(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy)
}

func tryAdversely(ctx context.Context, t testing.TB, log *Log, dice *rand.Rand, stream string) ([]eventstore.Event, error) {
	t.Helper()
	events := newEvents(t, 1+dice.IntN(3))
	if dice.IntN(4) > 0 {
		_, err := log.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.AnyVersion, Events: events})
		if errors.Is(err, eventstore.ErrWrongVersion) {
			return nil, nil // too many were faster
		}
		return events, err
	}
	tx, err := log.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing
	// The id is taken early; others take later ones, append and commit before.
	if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id(), pg_sleep($1)`, dice.Float64()/50); err != nil {
		return nil, err
	}
	if dice.IntN(3) == 0 {
		savepoint, err := tx.Begin(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := savepoint.Exec(ctx, `INSERT INTO log.reservations (kind, hash, key_id, stream_id) VALUES ('x', $1, 'k', 's')`, []byte(uuid.NewString())); err != nil {
			return nil, err
		}
		end := savepoint.Commit
		if dice.IntN(2) == 0 {
			end = savepoint.Rollback
		}
		if err := end(ctx); err != nil {
			return nil, err
		}
	}
	var version int64
	if err := tx.QueryRow(ctx, streamVersionsSQL, []string{stream}).Scan(&version); err != nil {
		return nil, err
	}
	if _, err := publish(ctx, tx.Exec, log.name, addition{stream: stream, expected: version, events: events}); err != nil {
		if errors.Is(refusal(err), eventstore.ErrWrongVersion) {
			return nil, nil // somebody was faster
		}
		return nil, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, dice.Float64()/50); err != nil {
		return nil, err
	}
	if dice.IntN(5) == 0 {
		return nil, tx.Rollback(ctx)
	}
	return events, tx.Commit(ctx)
}

// compare holds what was delivered against the table.
func compare(t testing.TB, log *Log, delivered []eventstore.Event) error {
	t.Helper()
	seen := make(map[uuid.UUID]bool, len(delivered))
	versions := make(map[string]int64)
	var faults []error
	for _, event := range delivered {
		if seen[event.ID] {
			faults = append(faults, fmt.Errorf("%s version %d was delivered twice", event.Stream, event.Version))
		}
		seen[event.ID] = true
		if event.Version != versions[event.Stream]+1 {
			faults = append(faults, fmt.Errorf("%s version %d was delivered after %d", event.Stream, event.Version, versions[event.Stream]))
		}
		versions[event.Stream] = event.Version
	}
	rows, err := log.pool.Query(t.Context(), `SELECT event_id FROM log.events`)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range committed {
		if !seen[id] {
			faults = append(faults, fmt.Errorf("event %s was never delivered", id))
		}
	}
	t.Logf("%d events committed, %d delivered", len(committed), len(delivered))
	if len(committed) == 0 {
		faults = append(faults, errors.New("nothing was committed"))
	}
	if len(faults) > 5 {
		faults = append(faults[:5], fmt.Errorf("and %d more", len(faults)-5))
	}
	return errors.Join(faults...)
}

func TestPagesJoinWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	start := head(t, log.Log)
	const streams, each = 40, 25
	for range streams {
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, each)
	}
	for _, limit := range []int{1, 7, 499, 999, 1000, 1001, 0} {
		for name, cursor := range map[string]eventstore.Cursor{"the beginning": "", "a tick": start} {
			var all []eventstore.Event
			for head := false; !head; {
				page, err := log.ReadLog(t.Context(), cursor, limit, 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Events) == 0 && !page.AtHead {
					t.Fatalf("an empty page before the head")
				}
				all = append(all, page.Events...)
				cursor, head = page.Next, page.AtHead
			}
			if len(all) != streams*each {
				t.Errorf("from %s by %d: %d events, want %d", name, limit, len(all), streams*each)
			}
			if err := compare(t, log.Log, all); err != nil {
				t.Errorf("from %s by %d: %v", name, limit, err)
			}
		}
	}
}

func TestPagesAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	events := newEvents(t, 7)
	for i := range events {
		events[i].Payload = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	}
	events[5].Payload = []byte(`"` + strings.Repeat("x", 4<<20) + `"`) // too large for any page, and still delivered
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream, Events: events}); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	var all []eventstore.Event
	for cursor := eventstore.Cursor(""); ; {
		page, err := log.ReadLog(t.Context(), cursor, 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Events))
		all = append(all, page.Events...)
		if cursor = page.Next; page.AtHead {
			break
		}
	}
	if want := "[2 2 1 1 1 0]"; fmt.Sprint(sizes) != want {
		t.Errorf("pages of %v events, want %s", sizes, want)
	}
	if err := compare(t, log.Log, all); err != nil {
		t.Error(err)
	}
}

func TestAGapInTheOffsetsIsPassed(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 3)
	log.asOwner(t, `SELECT setval(pg_get_serial_sequence('log.events', 'offset'), 3 * $1)`, rangeWindow*rangeWindows)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 3)
	if all := readAll(t, log.Log, 2); len(all) != 6 {
		t.Errorf("%d events, want 6", len(all))
	}
}

// Where offsets have no gaps, and nothing else is appended, it is exact.
func TestPagesTellHowManyEventsAreLeft(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	before := head(t, log.Log)
	const count, limit = 20, 6
	for range count {
		mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	}
	for name, cursor := range map[string]eventstore.Cursor{"along the offsets": "", "by candidates": before} {
		var told []int64
		for {
			page, err := log.ReadLog(t.Context(), cursor, limit, 0)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, page.Remaining)
			if cursor = page.Next; page.AtHead {
				break
			}
		}
		// Only the next look tells that a page was the last.
		if want := "[14 8 2 1 0]"; fmt.Sprint(told) != want {
			t.Errorf("%s: %v are left, want %s", name, told, want)
		}
	}
}

func TestTicksUseIndexes(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	// Many rows of many transactions that are over.
	log.asOwner(t, `
		INSERT INTO log.events (transaction_id, event_id, stream_id, stream_version, shard, type, schema_version, occurred_at, payload, metadata)
		SELECT (3 + i * (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 3) / 120001)::text::xid8,
		       gen_random_uuid(), 'thing-' || i, 1, 0, 'test.v1.Happened', 1, now(), '{}', '{}'
		FROM generate_series(1, 120000) AS i`)
	log.asOwner(t, `ANALYZE log.events`)
	at := now(t, log.Log).old
	// A transaction has been open since the oldest event.
	old := at
	old.xmin, old.xip = 3, []uint64{3}
	scan := regexp.MustCompile(`"Seq Scan"[^{}]*"Relation Name": "events"`) // one row has no better plan
	for name, tick := range map[string]struct {
		types, statement, arguments string
		blocks                      int
	}{
		"an idle tick":             {"pg_snapshot, bigint, bigint", tickLookSQL, fmt.Sprintf("'%s', 0, 5", old), 60},
		"a small tick":             {"pg_snapshot, pg_snapshot, bigint, bigint, text[], text", tickCandidatesSQL, fmt.Sprintf("'%s', '%s', 0, 501, NULL, ''", old, at), 60},
		"a page of a long history": {"pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint, text[], text", tickRangeSQL, fmt.Sprintf("'1:1:', '%s', 60000, 110000, 0, 501, NULL, ''", at), 60},
		"the beginning":            {"", tickBeginSQL, "", 60},
	} {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			plan := explain(t, log, mode, tick.types, tick.statement, tick.arguments)
			if scan.MatchString(plan.text) {
				t.Errorf("%s, %s: it scans the table:\n%s", name, mode, plan.text)
			}
			if plan.blocks > tick.blocks {
				t.Errorf("%s, %s: it touches %d blocks, want at most %d:\n%s", name, mode, plan.blocks, tick.blocks, plan.text)
			}
		}
	}
}

type explained struct {
	text   string
	blocks int
}

func explain(t testing.TB, log fixture, mode, types, statement, arguments string) explained {
	t.Helper()
	conn, err := log.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if types != "" {
		types, arguments = "("+types+")", "("+arguments+")"
	}
	// Twice: the first time sets hint bits and fills caches.
	var text string
	for range 2 {
		var parts []string
		for _, sql := range []string{
			`SET plan_cache_mode = ` + mode,
			`PREPARE tick ` + types + ` AS ` + statement,
			`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE tick ` + arguments,
			`DEALLOCATE tick`,
			`RESET plan_cache_mode`,
		} {
			results, err := conn.Conn().PgConn().Exec(t.Context(), sql).ReadAll()
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			for _, row := range results[0].Rows {
				parts = append(parts, string(row[0]))
			}
		}
		text = strings.Join(parts, "\n")
	}
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatal(err)
	}
	return explained{text: text, blocks: plans[0].Plan.Hit + plans[0].Plan.Read}
}

func TestAReaderAtTheHeadIsWokenByItsOwnProcess(t *testing.T) {
	t.Parallel()
	log := newFixture(t) // not run: the append itself rings
	waitForAppend(t, log.Log, func() { mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1) })
}

func TestAReaderAtTheHeadIsWokenByAnotherProcess(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	other := openLog(t, log.urls)
	run(t, log.Log)
	run(t, other)
	waitForAppend(t, log.Log, func() { mustAppend(t, other, newStream(), eventstore.NoStream, 1) })
}

func TestAReaderAtTheHeadIsWokenWhenNobodyTells(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	silent := openLog(t, log.urls) // not run: it sends no NOTIFY
	run(t, log.Log)
	waitForAppend(t, log.Log, func() { mustAppend(t, silent, newStream(), eventstore.NoStream, 1) })
}

// waitForAppend shows that readers which wait at the head get an event long
// before their wait is over.
func waitForAppend(t *testing.T, log *Log, appendOne func()) {
	t.Helper()
	end := head(t, log)
	const wait = 20 * time.Second
	began := time.Now()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			page, err := log.ReadLog(t.Context(), end, 10, wait)
			if err != nil || len(page.Events) != 1 {
				t.Errorf("%d events, %v; want 1", len(page.Events), err)
			}
		})
	}
	appendOne()
	readers.Wait()
	if took := time.Since(began); took > wait/2 {
		t.Errorf("it took %s", took)
	}
}

func TestAWaitAtTheHeadEnds(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	mustAppend(t, log.Log, newStream(), eventstore.NoStream, 1)
	end := head(t, log.Log)
	page, err := log.ReadLog(t.Context(), end, 10, 20*time.Millisecond)
	if err != nil || len(page.Events) != 0 || !page.AtHead || page.Epoch != log.Epoch() {
		t.Errorf("%+v, %v; want an empty page at the head", page, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := log.ReadLog(ctx, end, 10, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait past its deadline: %v, want DeadlineExceeded", err)
	}
}
