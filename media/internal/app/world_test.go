package app_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/eraser"
	"github.com/muster-id/muster/media/internal/erasure"
	"github.com/muster-id/muster/media/internal/files"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/media/internal/sweeper"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections of the tests themselves, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

var discard = slog.New(slog.DiscardHandler)

const (
	lifetime = 15 * time.Minute
	// swept is after when nothing is left of what came to nothing.
	swept = lifetime + store.Grace + time.Minute
)

// world is what commands work with: a real database and a real storage, behind a
// line that can be cut; a keyring in memory; a clock that can be put forward.
type world struct {
	app     app.App
	pool    *pgxpool.Pool
	log     *faulty
	rows    *store.Store
	keyring *eventtest.Keyring
	clock   *clock
	s3      teststack.S3
	line    *teststack.Line
	files   *projection.Projector
	objects *object.Store
	sweeper *sweeper.Sweeper
	strays  *sweeper.Uploaded
	awaited awaited
	// following tells that the projections run.
	following bool
}

// nobody is an id that no account has; everybody else has one.
var nobody = uuid.MustParse("01900000-0000-7000-8000-000000000000").String()

type everybody struct{}

func (everybody) Opened(_ context.Context, userID string) (bool, error) { return userID != nobody, nil }

// awaited is what commands wait for.
type awaited struct {
	app.Awaiter
	mu        sync.Mutex
	positions []eventstore.Position
}

func (a *awaited) Await(ctx context.Context, position eventstore.Position) error {
	a.mu.Lock()
	a.positions = append(a.positions, position)
	a.mu.Unlock()
	return a.Awaiter.Await(ctx, position)
}

func (a *awaited) last() eventstore.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.positions) == 0 {
		return eventstore.Position{}
	}
	return a.positions[len(a.positions)-1]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := stillWorld(t)
	w.follow(t)
	return w
}

// stillWorld is one in which no projection runs.
func stillWorld(t *testing.T) *world {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{keyring: eventtest.NewKeyring(), clock: &clock{now: time.Now()}, s3: teststack.Bucket(t)}
	if w.pool, err = database.Open(t.Context(), teststack.Database(t, sets...).Runtime, t.Name(), 12); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	log, err := postgres.Open(t.Context(), w.pool, app.LogName, discard)
	if err != nil {
		t.Fatal(err)
	}
	w.log = &faulty{Log: log}
	w.line = teststack.NewLine(t, strings.TrimPrefix(w.s3.Endpoint, "http://"))
	w.objects, err = object.Open(object.Config{
		Endpoint: "http://" + w.line.Addr(), PublicEndpoint: w.s3.Endpoint, Region: w.s3.Region, Bucket: w.s3.Bucket,
		AccessKey: w.s3.AccessKey, SecretKey: w.s3.SecretKey,
	}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.objects.Close)
	w.rows = store.New(w.pool, w.clock.Now)
	w.files = w.projector(files.Projection{})
	w.awaited.Awaiter = w.files
	pictures := picture.New(picture.Config{})
	t.Cleanup(pictures.Wait)
	w.app = app.New(app.Config{
		Log: w.log, Codec: w.codec(), Rows: w.rows, Objects: w.objects, Pictures: pictures, Files: &w.awaited, Accounts: everybody{},
		Now: w.clock.Now, NewID: uuid.NewV7, MaxFileBytes: 1 << 20, URLLifetime: 5 * time.Minute, UploadLifetime: lifetime,
	})
	w.strays = sweeper.NewUploaded(w.objects, w.rows, w.clock.Now)
	w.sweeper = sweeper.New(w.rows, w.objects, w.app.Keeper, w.strays, discard)
	return w
}

func (w *world) codec() *seal.Codec {
	return seal.NewCodec(w.keyring, w.keyring, protoregistry.GlobalTypes, upcast.Step)
}

func (w *world) projector(rows projection.Projection) *projection.Projector {
	return projection.New(projection.Config{Pool: w.pool, Log: app.LogName, Projection: rows, Codec: w.codec(), Source: w.log.Log, Logger: discard})
}

// follow runs what follows the log.
func (w *world) follow(t *testing.T) {
	t.Helper()
	for _, run := range []func(context.Context) error{w.files.Run, w.projector(eraser.New(w.keyring)).Run, w.log.Run} {
		teststack.Background(t, run)
	}
	<-w.files.Ready()
	w.following = true
}

// faulty is a log to whose appends something can happen.
type faulty struct {
	*postgres.Log
	mu sync.Mutex
	// before is called instead of the next append's beginning, after its end.
	before, after func() error
}

func (f *faulty) take() (before, after func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after, f.before, f.after = f.before, f.after, nil, nil
	return before, after
}

func (f *faulty) Append(ctx context.Context, a eventstore.Append) (eventstore.Appended, error) {
	before, after := f.take()
	if before != nil {
		if err := before(); err != nil {
			return eventstore.Appended{}, err
		}
	}
	appended, err := f.Log.Append(ctx, a)
	if after != nil && err == nil {
		err = after()
	}
	return appended, err
}

var errPowerCut = errors.New("the power was cut")

func powerCut() error { return errPowerCut }

// clock is one that can be put forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// settle waits until the rows hold all that is in the log, which a busy machine
// may not do within the time that commands wait for it.
func (w *world) settle(t *testing.T) {
	t.Helper()
	if !w.following {
		return
	}
	teststack.Eventually(t, "the rows hold what the log says", func() bool {
		return w.count(t, `
			SELECT count(*)
			FROM (SELECT stream_id, max(stream_version) AS version FROM log.events GROUP BY stream_id) AS l
			LEFT JOIN read.applied AS a ON a.projection = 'files' AND a.stream_id = l.stream_id AND a.version = l.version
			WHERE a.stream_id IS NULL`) == 0
	})
}

// sweep sweeps until nothing is due.
func (w *world) sweep(t *testing.T) {
	t.Helper()
	w.settle(t)
	if err := w.sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// holds demands that the bucket holds exactly these objects.
func (w *world) holds(t *testing.T, want ...object.Ref) {
	t.Helper()
	keys := make([]string, len(want))
	for i, ref := range want {
		keys[i] = ref.Key()
	}
	slices.Sort(keys)
	if got := w.s3.Objects(t); !slices.Equal(got, keys) {
		t.Errorf("the bucket holds %v, want %v", got, keys)
	}
}

// count counts rows.
func (w *world) count(t *testing.T, query string, arguments ...any) int {
	t.Helper()
	var count int
	if err := w.pool.QueryRow(t.Context(), query, arguments...).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// empty demands that nothing at all is left.
func (w *world) empty(t *testing.T) {
	t.Helper()
	w.holds(t)
	for _, table := range []string{"storage.objects", "storage.uploads", "read.files", "read.shares"} {
		if rows := w.count(t, `SELECT count(*) FROM `+table); rows > 0 {
			t.Errorf("%s holds %d rows", table, rows)
		}
	}
}

// aPicture is a picture of one colour.
func aPicture(t *testing.T, shade uint8) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 20, 10))
	for i := range img.Pix {
		img.Pix[i] = shade
	}
	img.Set(3, 3, color.White)
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (w *world) setAvatar(t *testing.T, user uuid.UUID) (object.Ref, error) {
	t.Helper()
	set, err := w.app.Commands.SetAvatar.Handle(t.Context(), app.SetAvatar{UserID: user.String(), Picture: aPicture(t, 40), Request: request()})
	if err != nil {
		return object.Ref{}, err
	}
	return object.Ref{Kind: object.Avatar, Owner: user, ID: uuid.MustParse(set.AvatarID)}, nil
}

func request() app.Request {
	return app.Request{ID: "request", Origin: &eventstore.Origin{Address: "192.0.2.7", UserAgent: "a browser"}}
}

const note = "just some words"

// create begins the upload of a note.
func (w *world) create(t *testing.T, user uuid.UUID) app.UploadCreated {
	t.Helper()
	return w.createAs(t, app.CreateUpload{UserID: user.String(), Name: "note.txt", ContentType: "text/plain", Size: int64(len(note))})
}

func (w *world) createAs(t *testing.T, c app.CreateUpload) app.UploadCreated {
	t.Helper()
	created, err := w.app.Commands.CreateUpload.Handle(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// post sends a form and gives the status.
func post(t *testing.T, form object.Form, content string) int {
	t.Helper()
	status, _ := teststack.PostForm(t, form.URL, form.Fields, content)
	return status
}

func (w *world) complete(t *testing.T, user uuid.UUID, id string) (app.File, error) {
	t.Helper()
	return w.app.Commands.CompleteUpload.Handle(t.Context(), app.CompleteUpload{UserID: user.String(), FileID: id, Request: request()})
}

// upload makes a whole file.
func (w *world) upload(t *testing.T, user uuid.UUID) app.File {
	t.Helper()
	created := w.create(t, user)
	if status := post(t, created.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	completed, err := w.complete(t, user, created.FileID)
	if err != nil {
		t.Fatal(err)
	}
	return completed
}

func fileRef(f app.File) object.Ref {
	return object.Ref{Kind: object.File, Owner: uuid.MustParse(f.OwnerID), ID: uuid.MustParse(f.ID)}
}

// erase erases somebody, as identity's log asks for it.
func (w *world) erase(t *testing.T, user uuid.UUID) {
	t.Helper()
	if err := w.tryErase(t, user); err != nil {
		t.Fatal(err)
	}
}

// tryErase begins anew while the rows are behind, as a projection would.
func (w *world) tryErase(t *testing.T, user uuid.UUID) error {
	t.Helper()
	for {
		if err := w.eraseOnce(t, user); !errors.Is(err, erasure.ErrBehind) {
			return err
		}
	}
}

func (w *world) eraseOnce(t *testing.T, user uuid.UUID) error {
	t.Helper()
	event := eventstore.Opened{Message: &identityeventsv1.UserErased{UserId: user.String()}}
	return pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		return erasure.New(w.app.Erasure, w.rows, w.files).React(t.Context(), tx, []eventstore.Opened{event})
	})
}
