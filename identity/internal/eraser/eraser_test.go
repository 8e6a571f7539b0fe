package eraser_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/eraser"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a log with what an eraser destroys in.
type world struct {
	pool *pgxpool.Pool
	log  *postgres.Log
	// fail is asked before anything is destroyed.
	fail func() error
	// destroyed and forgotten get what each call was given, after it has taken place.
	destroyed chan []string
	forgotten chan []uuid.UUID
	// cancel tells the eraser that was started last to end.
	cancel func()
	lines  lines
}

func newWorld(t *testing.T) *world {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), urls.Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		pool: pool, log: log, fail: func() error { return nil },
		destroyed: make(chan []string, 100), forgotten: make(chan []uuid.UUID, 100),
	}
	return w
}

func (w *world) Destroy(_ context.Context, ids []string) error {
	if err := w.fail(); err != nil {
		return err
	}
	w.destroyed <- ids
	return nil
}

func (w *world) Forget(_ context.Context, erased []uuid.UUID) error {
	w.forgotten <- erased
	return nil
}

// start runs an eraser until the test ends, or stop is called.
func (w *world) start(t *testing.T) (running *eraser.Eraser, stop func()) {
	t.Helper()
	running = eraser.New(eraser.Config{
		Log: w.log, Codec: seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step), Keys: w, Rows: w,
		Logger: slog.New(slog.NewTextHandler(&w.lines, nil)),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.cancel = cancel
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{w.log.Run, running.Run} {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = func() {
		cancel()
		parts.Wait()
	}
	t.Cleanup(stop)
	return running, stop
}

func (w *world) append(t *testing.T, stream string, expected eventstore.ExpectedVersion, messages ...proto.Message) {
	t.Helper()
	appended := make([]eventstore.Event, len(messages))
	drafts := make([]eventstore.Draft, len(messages))
	for i, message := range messages {
		appended[i] = eventstore.Event{ID: uuid.New(), Log: "identity", Stream: stream, OccurredAt: time.Now()}
		drafts[i] = eventstore.Draft{Event: &appended[i], Message: message}
	}
	if err := seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step).Encode(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	if _, err := w.log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected, Events: appended}); err != nil {
		t.Fatal(err)
	}
}

// erase records that somebody is erased.
func (w *world) erase(t *testing.T, keys ...string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	w.append(t, "user-"+id.String(), eventstore.NoStream,
		&eventsv1.UserDeactivated{UserId: id.String()},
		&eventsv1.UserErased{UserId: id.String(), KeyIds: keys})
	return id
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func TestErasureDestroysKeysAndRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.erase(t, "first", "second") // before anybody follows
	running, _ := w.start(t)
	if got := <-w.destroyed; !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("destroyed %v", got)
	}
	if got := <-w.forgotten; !slices.Equal(got, []uuid.UUID{before}) {
		t.Errorf("forgot %v, want %v", got, before)
	}
	w.append(t, "user-"+uuid.NewString(), eventstore.NoStream, &eventsv1.UserDeactivated{}) // which is none
	after := w.erase(t)                                                                     // whose keys are none
	if got := <-w.forgotten; !slices.Equal(got, []uuid.UUID{after}) {
		t.Errorf("forgot %v, want %v", got, after)
	}
	if stats := running.Stats(); !stats.Leading || stats.Err != nil || stats.Erased == 0 {
		t.Errorf("stats %+v", stats)
	}
	if len(w.destroyed) > 0 {
		t.Errorf("destroyed %v too", <-w.destroyed)
	}
}

func TestErasureIsTriedUntilItIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away := errors.New("the keyring is away")
	var back atomic.Bool
	tries := make(chan struct{}, 1000)
	w.fail = func() error {
		if back.Load() {
			return nil
		}
		tries <- struct{}{}
		return away
	}
	running, _ := w.start(t)
	w.erase(t, "key")
	for range 3 {
		<-tries
	}
	// The second failure was noted before the third try.
	if err := running.Stats().Err; !errors.Is(err, away) {
		t.Errorf("while it fails, the stats say %v", err)
	}
	back.Store(true)
	if got := <-w.destroyed; !slices.Equal(got, []string{"key"}) {
		t.Errorf("destroyed %v", got)
	}
	w.erase(t, "next")
	<-w.destroyed
	if stats := running.Stats(); stats.Err != nil {
		t.Errorf("stats %+v", stats)
	}
	if told := w.lines.count("erasures are held up"); told != 1 {
		t.Errorf("it was told %d times, want once:\n%s", told, w.lines.text.String())
	}
}

// Each go would else read all of it again, and seem to have recovered meanwhile.
func TestWhatFailsFarDownTheLogIsTriedFromThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var many []proto.Message
	for range 600 { // more than a page
		many = append(many, &eventsv1.UserDeactivated{})
	}
	w.append(t, "user-"+uuid.NewString(), eventstore.NoStream, many...)
	w.erase(t, "key")
	tries := make(chan struct{}, 1000)
	w.fail = func() error {
		tries <- struct{}{}
		return errors.New("the keyring is away")
	}
	_, stop := w.start(t)
	for range 4 {
		<-tries
	}
	stop()
	if held, again := w.lines.count("erasures are held up"), w.lines.count("carried out again"); held != 1 || again != 0 {
		t.Errorf("it was told %d times that it is held up, %d times that it is not; want 1 and 0", held, again)
	}
}

func TestNextProcessGoesOnWhereTheFormerEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running, stop := w.start(t)
	w.erase(t, "first")
	<-w.destroyed
	// The second erasure is carried out after the first one's checkpoint is saved.
	w.erase(t, "second")
	<-w.destroyed
	stop()
	if running.Stats().Leading {
		t.Error("it leads after its end")
	}
	w.erase(t, "third")
	w.start(t)
	for got := range w.destroyed {
		if slices.Contains(got, "first") {
			t.Errorf("what was carried out long ago is carried out again: %v", got)
		}
		if slices.Contains(got, "third") {
			break
		}
	}
}

func TestWhatWasCarriedOutAndNotSavedIsCarriedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fail = func() error {
		w.cancel() // the end comes before the checkpoint
		return nil
	}
	_, stop := w.start(t)
	w.erase(t, "key")
	if got := <-w.destroyed; !slices.Equal(got, []string{"key"}) {
		t.Fatalf("destroyed %v", got)
	}
	stop()
	w.start(t)
	if got := <-w.destroyed; !slices.Equal(got, []string{"key"}) {
		t.Errorf("destroyed %v", got)
	}
}

// A checkpoint that means nothing, as after the log was restored: everything is
// gone over again.
func TestForeignCheckpointBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.erase(t, "long ago")
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO log.forwarder_checkpoint (reader, cursor, fence) VALUES ('eraser', 'of another time', 1)`); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	if got := <-w.destroyed; !slices.Equal(got, []string{"long ago"}) {
		t.Errorf("destroyed %v", got)
	}
}

func TestTwoErasersTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, stop := w.start(t)
	w.erase(t, "first")
	<-w.destroyed
	second, _ := w.start(t)
	w.erase(t, "second")
	<-w.destroyed
	if !first.Stats().Leading || second.Stats().Leading {
		t.Errorf("the first leads: %v, the second leads: %v", first.Stats().Leading, second.Stats().Leading)
	}
	stop()
	w.erase(t, "third")
	for got := range w.destroyed {
		if slices.Contains(got, "third") {
			break
		}
	}
}
