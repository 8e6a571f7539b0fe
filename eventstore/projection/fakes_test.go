package projection

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	counted = "test.Counted" // handled
	ignored = "test.Ignored" // not handled
)

// openPool gives a database of the test's own, as the run-time role sees it.
func openPool(t *testing.T, more ...database.Migrations) *pgxpool.Pool {
	t.Helper()
	urls := teststack.Database(t, append(more,
		database.Migrations{Schema: "read", Part: "projection_", Files: Migrations},
		database.Migrations{Schema: "read", Part: "tallies_", Files: os.DirFS("testdata/tallies")},
	)...)
	pool, err := database.Open(t.Context(), urls.Runtime, "projection-test", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Cleanup(end func())
	Context() context.Context
}

// tallies is a projection that is neither idempotent nor commutative by
// itself, so that what guards it is what is tested.
type tallies struct {
	name string
	// before is called with each batch, inside the transaction; beforeIn with the
	// generation too.
	beforeIn func(ctx context.Context, generation int64, events []eventstore.Opened) error
	before   func(ctx context.Context, tx pgx.Tx, events []eventstore.Opened) error
}

func (p *tallies) Name() string { return p.name }

func (p *tallies) Tables() []Table {
	return []Table{{Name: "read.tallies", Key: []string{"projection", "stream_id"}, Sensitive: []string{"digest"}}}
}

func (p *tallies) Handles(eventType string) bool { return eventType == counted }

func (p *tallies) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	if p.beforeIn != nil {
		if err := p.beforeIn(ctx, generation, events); err != nil {
			return err
		}
	}
	if p.before != nil {
		if err := p.before(ctx, tx, events); err != nil {
			return err
		}
	}
	var batch pgx.Batch
	for _, event := range events {
		batch.Queue(`INSERT INTO read.tallies AS t (projection, generation, stream_id, events, digest)
			VALUES ($1, $2, $3, 1, md5($4))
			ON CONFLICT (projection, generation, stream_id) DO UPDATE SET events = t.events + 1, digest = md5(t.digest || $4)`,
			p.name, generation, event.Stream, fmt.Sprintf("%d %s", event.Version, event.Message))
	}
	return tx.SendBatch(ctx, &batch).Close()
}

type tally struct {
	Events int64
	Digest string
}

// rows of a projection's generation 1.
func (p *tallies) rows(t tester, pool *pgxpool.Pool) map[string]tally {
	t.Helper()
	return p.rowsOf(t, pool, 1)
}

func (p *tallies) rowsOf(t tester, pool *pgxpool.Pool, generation int64) map[string]tally {
	t.Helper()
	rows, err := pool.Query(context.Background(), `SELECT stream_id, events, digest FROM read.tallies WHERE projection = $1 AND generation = $2`, p.name, generation)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]tally)
	var stream string
	var row tally
	if _, err := pgx.ForEachRow(rows, []any{&stream, &row.Events, &row.Digest}, func() error {
		found[stream] = row
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// fold is what the rows have to be.
func fold(events []eventstore.Event) map[string]tally {
	rows := make(map[string]tally)
	for _, event := range events {
		if event.Type != counted {
			continue
		}
		row := rows[event.Stream]
		sum := md5.Sum(fmt.Appendf([]byte(row.Digest), "%d %s", event.Version, wrapperspb.String(string(event.Payload))))
		rows[event.Stream] = tally{Events: row.Events + 1, Digest: hex.EncodeToString(sum[:])}
	}
	return rows
}

// plain opens events that are not sealed, of the handled type only.
type plain struct{}

func (plain) Decode(_ context.Context, events []eventstore.Event) ([]eventstore.Opened, error) {
	opened := make([]eventstore.Opened, len(events))
	for i, event := range events {
		if event.Type != counted {
			return nil, fmt.Errorf("%s should not have been opened", event.Type)
		}
		opened[i] = eventstore.Opened{Event: event, Message: wrapperspb.String(string(event.Payload))}
	}
	return opened, nil
}

// fakeLog is a log in memory. Its cursor is "epoch:offset".
type fakeLog struct {
	mu      sync.Mutex
	name    string
	epoch   int64
	events  []eventstore.Event
	heads   map[string]int64
	changed chan struct{}
	// away is what ReadLog answers with; nil for the truth.
	away error
	// shown is how many events ReadLog shows; all of them where negative.
	shown int
	// small bounds the events of a page; 0 for the caller's limit.
	small int
	// mangle spoils a page, which a real log never does.
	mangle func([]eventstore.Event) []eventstore.Event
	// gaps counts the calls of ReadStream, and atGap is called in each.
	gaps  int
	atGap func()
	// first is the cursor of the first ReadLog since it was last emptied.
	first *eventstore.Cursor
}

func newFakeLog() *fakeLog {
	return &fakeLog{name: "test", epoch: 1, shown: -1, heads: make(map[string]int64), changed: make(chan struct{})}
}

// append appends one event and gives it back.
func (l *fakeLog) append(stream, eventType string) eventstore.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads[stream]++
	event := eventstore.Event{
		ID: uuid.Must(uuid.NewV7()), Log: l.name, Epoch: l.epoch, Stream: stream, Version: l.heads[stream],
		Shard: eventstore.ShardOf(stream), Type: eventType, SchemaVersion: 1, OccurredAt: time.Now().UTC(),
		Payload: []byte(strconv.Itoa(len(l.events))),
	}
	l.events = append(l.events, event)
	l.wake()
	return event
}

// set changes how the log behaves.
func (l *fakeLog) set(change func(*fakeLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	l.wake()
}

func (l *fakeLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLog) all() []eventstore.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]eventstore.Event(nil), l.events...)
}

func (l *fakeLog) position(stream string) eventstore.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventstore.Position{Log: l.name, Epoch: l.epoch, Stream: stream, Version: l.heads[stream]}
}

func (l *fakeLog) ReadLog(ctx context.Context, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		page, changed, err := l.page(after, limit)
		if err != nil || len(page.Events) > 0 || wait == 0 {
			return page, err
		}
		select {
		case <-ctx.Done():
			return eventstore.Page{}, ctx.Err()
		case <-timer.C:
			return page, nil
		case <-changed:
		}
	}
}

func (l *fakeLog) page(after eventstore.Cursor, limit int) (eventstore.Page, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = &after
	}
	if l.away != nil {
		return eventstore.Page{}, nil, l.away
	}
	start := 0
	if after != "" {
		epoch, offset, _ := strings.Cut(string(after), ":")
		var err error
		if start, err = strconv.Atoi(offset); err != nil {
			return eventstore.Page{}, nil, eventstore.ErrCursorInvalid
		}
		if epoch != strconv.FormatInt(l.epoch, 10) {
			return eventstore.Page{}, nil, eventstore.ErrEpochChanged
		}
	}
	head := len(l.events)
	if l.shown >= 0 {
		head = min(head, l.shown)
	}
	if l.small > 0 {
		limit = min(limit, l.small)
	}
	end := max(start, min(head, start+limit))
	events := append([]eventstore.Event(nil), l.events[start:end]...)
	for i := range events {
		events[i].Epoch = l.epoch
	}
	if l.mangle != nil {
		events = l.mangle(events)
	}
	return eventstore.Page{
		Events: events,
		Next:   eventstore.Cursor(fmt.Sprintf("%d:%d", l.epoch, end)),
		Epoch:  l.epoch,
		AtHead: end == head, Remaining: int64(head - end),
	}, l.changed, nil
}

func (l *fakeLog) ReadStream(_ context.Context, stream string, from int64, limit int) ([]eventstore.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps++
	if l.atGap != nil {
		l.atGap()
	}
	var events []eventstore.Event
	for _, event := range l.events {
		if event.Stream == stream && event.Version >= from && len(events) < limit {
			event.Epoch = l.epoch
			events = append(events, event)
		}
	}
	return events, nil
}

// fakeBroker delivers what it is told to, again to each new subscriber what
// nobody has acknowledged.
type fakeBroker struct {
	queue chan []byte

	mu sync.Mutex
	// deaf makes the broker lose all acknowledgements.
	deaf bool
	open []*message.Message
	// refused counts the messages that are put aside.
	refused int
}

func newFakeBroker() *fakeBroker { return &fakeBroker{queue: make(chan []byte, 10_000)} }

func (b *fakeBroker) deliver(events ...eventstore.Event) {
	for _, event := range events {
		body, err := json.Marshal(event)
		if err != nil {
			panic(err) // an event is plain data
		}
		b.queue <- body
	}
}

// unacked takes the messages that are to be delivered again.
func (b *fakeBroker) unacked() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	var bodies [][]byte
	for _, sent := range b.open {
		select {
		case <-sent.Acked():
			if !b.deaf {
				continue
			}
		case <-sent.Nacked():
			b.refused++
			continue
		default:
		}
		bodies = append(bodies, sent.Payload)
	}
	b.open = nil
	return bodies
}

func (b *fakeBroker) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	again := b.unacked()
	messages := make(chan *message.Message)
	go func() {
		defer close(messages)
		for {
			var body []byte
			if len(again) > 0 {
				body, again = again[0], again[1:]
			} else {
				select {
				case <-ctx.Done():
					return
				case body = <-b.queue:
				}
			}
			sent := message.NewMessage(uuid.NewString(), body)
			b.mu.Lock()
			b.open = append(b.open, sent)
			b.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case messages <- sent:
			}
		}
	}()
	return messages, nil
}

func (*fakeBroker) Close() error { return nil }

func decodeJSON(sent *message.Message) (eventstore.Event, error) {
	var event eventstore.Event
	if err := json.Unmarshal(sent.Payload, &event); err != nil {
		return eventstore.Event{}, errors.New("not an event")
	}
	return event, nil
}

// logLines gives the messages that were logged.
type logLines struct {
	slog.Handler
	lines chan string
}

func newLogLines() *logLines {
	return &logLines{Handler: slog.DiscardHandler, lines: make(chan string, 1000)}
}

func (*logLines) Enabled(context.Context, slog.Level) bool { return true }

func (l *logLines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logLines) Handle(_ context.Context, record slog.Record) error {
	line := record.Message
	record.Attrs(func(attr slog.Attr) bool {
		line += " " + attr.String()
		return true
	})
	l.lines <- line
	return nil
}

// next waits for a line with this text and gives it.
func (l *logLines) next(t *testing.T, text string) string {
	t.Helper()
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no log line with %q", text)
		}
	}
}

// bench is one projection on a fake log, and maybe a fake broker.
type bench struct {
	pool       *pgxpool.Pool
	log        *fakeLog
	broker     *fakeBroker
	projection *tallies
	lines      *logLines
	tracers    trace.TracerProvider
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{pool: openPool(t), log: newFakeLog(), projection: &tallies{name: "tallies"}, lines: newLogLines()}
}

func (b *bench) projector() *Projector {
	return b.projectorOf(b.log)
}

func (b *bench) projectorOf(source Source) *Projector {
	config := Config{
		Pool: b.pool, Log: "test", Projection: b.projection, Codec: plain{}, Source: source,
		Queue: "test.tallies", Decode: decodeJSON, Logger: slog.New(b.lines), Tracers: b.tracers,
	}
	if b.broker != nil {
		config.Subscriber = b.broker
	}
	return New(config)
}

// start runs a projector until stop, which waits for its end, or the test's end.
func (b *bench) start(t tester) (p *Projector, stop func()) {
	p = b.projector()
	return p, launch(t, p)
}

func launch(t tester, p *Projector) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := p.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// await waits until the rows hold all of the log, longer than Await would.
func (b *bench) await(t tester, p *Projector, streams ...string) {
	t.Helper()
	for _, stream := range streams {
		err := ErrNotApplied
		for tries := 0; tries < 10 && errors.Is(err, ErrNotApplied); tries++ {
			err = p.Await(t.Context(), b.log.position(stream))
		}
		if err != nil {
			t.Fatalf("%v; %+v", err, p.Stats())
		}
	}
}

func ready(t tester, p *Projector) {
	t.Helper()
	select {
	case <-p.Ready():
	case <-time.After(20 * time.Second):
		t.Fatalf("not ready; %+v", p.Stats())
	}
}

// want compares the rows with a plain fold of the log.
func (b *bench) want(t tester) {
	t.Helper()
	b.wantFold(t, b.log.all())
}

func (b *bench) wantFold(t tester, events []eventstore.Event) {
	t.Helper()
	got, want := b.projection.rows(t, b.pool), fold(events)
	if len(got) != len(want) {
		t.Errorf("rows of %d streams, want %d", len(got), len(want))
	}
	for stream, row := range want {
		if got[stream] != row {
			t.Errorf("row of %s is %+v, want %+v", stream, got[stream], row)
		}
	}
}
