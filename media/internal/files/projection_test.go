package files_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/files"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

type bundle struct {
	pool  *pgxpool.Pool
	store *store.Store
	owner secret.String
}

func setup(t *testing.T) *bundle {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	urls := teststack.Database(t, sets...)
	pool, err := database.Open(t.Context(), urls.Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &bundle{pool, store.New(pool, time.Now), urls.Owner}
}

// try does what the projector does with a batch.
func (b *bundle) try(ctx context.Context, generation int64, events ...eventstore.Opened) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if err := (files.Projection{}).Apply(ctx, tx, generation, events); err != nil {
			return err
		}
		return files.Projection{}.React(ctx, tx, events)
	})
}

func (b *bundle) apply(t *testing.T, events ...eventstore.Opened) {
	t.Helper()
	if err := b.try(t.Context(), 1, events...); err != nil {
		t.Fatal(err)
	}
}

// rows is everything that the projection writes, in words.
func (b *bundle) rows(t *testing.T, generation int64) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, query := range []string{
		`SELECT 'file ' || file_id, name || ', ' || content_type || ', ' || size || ', public ' || public FROM read.files WHERE generation = $1`,
		`SELECT 'share ' || file_id || ' ' || user_id, 'yes' FROM read.shares WHERE generation = $1`,
		`SELECT kind || ' object ' || object_id, state FROM storage.objects WHERE $1 > 0`,
		`SELECT 'upload ' || upload_id, name FROM storage.uploads WHERE $1 > 0`,
	} {
		rows, err := b.pool.Query(t.Context(), query, generation)
		if err != nil {
			t.Fatal(err)
		}
		var key, value string
		if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { found[key] = value; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// stream writes the events of one stream.
type stream struct {
	name    string
	version int64
}

func (s *stream) event(message proto.Message) eventstore.Opened {
	s.version++
	return eventstore.Opened{
		Event: eventstore.Event{
			ID: uuid.New(), Log: "media", Epoch: 1, Stream: s.name, Version: s.version,
			Type: string(proto.MessageName(message)), OccurredAt: time.Date(2026, 11, 22, 9, 0, int(s.version), 0, time.UTC),
		},
		Message: message,
	}
}

// fileOf writes the events of a file.
type fileOf struct {
	stream
	id, owner uuid.UUID
}

func newFile(owner uuid.UUID) *fileOf {
	id := uuid.New()
	return &fileOf{stream: stream{name: "file-" + id.String()}, id: id, owner: owner}
}

func (f *fileOf) uploaded(name string) eventstore.Opened {
	return f.event(&eventsv1.FileUploaded{FileId: f.id.String(), OwnerId: f.owner.String(), Name: name, ContentType: "text/plain", Size: 7})
}

func (f *fileOf) shared(with string) eventstore.Opened {
	return f.event(&eventsv1.FileShared{FileId: f.id.String(), UserId: with})
}

func (f *fileOf) unshared(with string) eventstore.Opened {
	return f.event(&eventsv1.FileUnshared{FileId: f.id.String(), UserId: with})
}

func (f *fileOf) deleted() eventstore.Opened {
	return f.event(&eventsv1.FileDeleted{FileId: f.id.String(), OwnerId: f.owner.String()})
}

func (f *fileOf) upload() store.Upload {
	return store.Upload{ID: f.id, Owner: f.owner, Name: "declared", ContentType: "text/plain", Size: 7, ExpiresAt: time.Now().Add(time.Minute)}
}

func TestOnlyEventsThatChangeRowsAreHandled(t *testing.T) {
	t.Parallel()
	messages := eventsv1.File_muster_media_events_v1_media_proto.Messages()
	for i := range messages.Len() {
		name := string(messages.Get(i).FullName())
		if got, want := (files.Projection{}).Handles(name), messages.Get(i).Name() != "OwnerErased"; got != want {
			t.Errorf("Handles(%s) = %v, want %v", name, got, want)
		}
	}
	if (files.Projection{}).Handles("muster.media.events.v9.Unknown") {
		t.Error("an unknown type is handled")
	}
}

// However the events are cut into batches, the rows come out the same, and again
// when all of it is repeated.
func TestRowsAreTheFoldOfTheEventsInAnyBatches(t *testing.T) {
	t.Parallel()
	ada, bob, carol := uuid.New(), uuid.New(), uuid.New()
	kept, gone := newFile(ada), newFile(ada)
	pictures := &stream{name: "avatar-" + ada.String()}
	first, second := uuid.New(), uuid.New()
	events := []eventstore.Opened{
		kept.uploaded("notes.txt"), kept.shared(bob.String()), kept.shared(carol.String()), kept.shared(""), kept.unshared(bob.String()), kept.unshared(""),
		gone.uploaded("draft.txt"), gone.shared(bob.String()), gone.deleted(),
		pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: first.String(), Size: 1}),
		pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: second.String(), Size: 1}),
	}
	want := map[string]string{
		"file " + kept.id.String():                         "notes.txt, text/plain, 7, public false",
		"share " + kept.id.String() + " " + carol.String(): "yes",
		"file object " + kept.id.String():                  "kept",
		"upload object " + kept.id.String():                "doomed",
		"file object " + gone.id.String():                  "doomed",
		"avatar object " + first.String():                  "doomed",
		"avatar object " + second.String():                 "kept",
	}
	for name, cuts := range map[string][]int{
		"one batch":        {},
		"one each":         {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		"across the files": {3, 7, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.store.BeginUpload(t.Context(), kept.upload()); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []object.Ref{{Kind: object.File, Owner: ada, ID: kept.id}, {Kind: object.Avatar, Owner: ada, ID: first}} {
				if err := b.store.BeginObject(t.Context(), ref); err != nil { // the rest is as after a restore
					t.Fatal(err)
				}
			}
			from := 0
			for _, to := range append(cuts, len(events)) {
				b.apply(t, events[from:to]...)
				from = to
			}
			if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
				t.Error(diff)
			}
			if err := b.try(t.Context(), 2, events...); err != nil { // a rebuild
				t.Fatal(err)
			}
			for generation := range int64(2) {
				if diff := cmp.Diff(want, b.rows(t, generation+1)); diff != "" {
					t.Errorf("generation %d after a rebuild: %s", generation+1, diff)
				}
			}
		})
	}
}

func TestARemovedPictureIsDoomedWithAllBeforeIt(t *testing.T) {
	t.Parallel()
	b, ada, bob := setup(t), uuid.New(), uuid.New()
	pictures, others := &stream{name: "avatar-" + ada.String()}, &stream{name: "avatar-" + bob.String()}
	one, two, bobs := uuid.New(), uuid.New(), uuid.New()
	b.apply(t, pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: one.String()}),
		others.event(&eventsv1.AvatarSet{UserId: bob.String(), AvatarId: bobs.String()}))
	b.apply(t, pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: two.String()}),
		pictures.event(&eventsv1.AvatarRemoved{UserId: ada.String(), AvatarId: two.String()}))
	want := map[string]string{
		"avatar object " + one.String():  "doomed",
		"avatar object " + two.String():  "doomed",
		"avatar object " + bobs.String(): "kept",
	}
	if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
		t.Error(diff)
	}
}

// A rebuild goes over the first picture again when the second is long the present one.
func TestARebuildDoomsNothingThatIsKept(t *testing.T) {
	t.Parallel()
	b, ada := setup(t), uuid.New()
	pictures, one, two := &stream{name: "avatar-" + ada.String()}, uuid.New(), uuid.New()
	set := pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: one.String()})
	b.apply(t, set, pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: two.String()}))
	if err := b.try(t.Context(), 2, set); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"avatar object " + one.String(): "doomed", "avatar object " + two.String(): "kept"}
	if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
		t.Error(diff)
	}
}

// A generation that is only made to be compared is given to Apply alone.
func TestApplyChangesItsGenerationAndNothingElse(t *testing.T) {
	t.Parallel()
	b, ada, bob := setup(t), uuid.New(), uuid.New()
	pictures, picture := &stream{name: "avatar-" + ada.String()}, uuid.New()
	f := newFile(ada)
	set := pictures.event(&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: picture.String()})
	uploaded, shared := f.uploaded("notes.txt"), f.shared(bob.String())
	b.apply(t, set, uploaded, shared)
	declared := newFile(ada)
	if err := b.store.BeginUpload(t.Context(), declared.upload()); err != nil {
		t.Fatal(err)
	}
	want := b.rows(t, 1)
	for _, events := range [][]eventstore.Opened{
		{set, uploaded, shared, declared.uploaded("declared.txt")},
		{f.unshared(bob.String()), f.shared("")},
		{f.deleted(), pictures.event(&eventsv1.AvatarRemoved{UserId: ada.String(), AvatarId: picture.String()})},
	} {
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return files.Projection{}.Apply(t.Context(), tx, 2, events) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
			t.Error(diff)
		}
	}
	if got := b.rows(t, 2)["file "+declared.id.String()]; got == "" {
		t.Error("the generation has not got its row")
	}
}

// Of a generation that is being made the planner has no statistics, and expects
// a single row.
func TestABatchReadsTheRowsOfItsFilesOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fill := func(generation int) {
		for _, statement := range []string{`
			INSERT INTO read.files (generation, file_id, owner_id, name, content_type, size, public, uploaded_at)
			SELECT $1, md5(n::text)::uuid, md5(n::text)::uuid, n, 'text/plain', 1, false, now() FROM generate_series(1, 120000) AS n`, `
			INSERT INTO read.shares (generation, file_id, user_id, uploaded_at)
			SELECT $1, md5(n::text)::uuid, md5(n::text)::uuid, now() FROM generate_series(1, 120000) AS n`,
		} {
			if _, err := b.pool.Exec(t.Context(), statement, generation); err != nil {
				t.Fatal(err)
			}
		}
	}
	owner, err := pgx.Connect(t.Context(), b.owner.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	fill(1)
	for _, statement := range []string{
		`ALTER TABLE read.files SET (autovacuum_enabled = off)`, `ALTER TABLE read.shares SET (autovacuum_enabled = off)`,
		`ANALYZE read.files, read.shares`,
	} {
		if _, err := owner.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	fill(2)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nobody needs it
	one, two := newFile(uuid.New()), newFile(uuid.New())
	events := []eventstore.Opened{one.shared(uuid.NewString()), one.unshared(uuid.NewString()), one.shared(""), two.deleted()}
	if err := (files.Projection{}).Apply(t.Context(), tx, 2, events); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"read.files", "read.shares"} {
		var read int64
		if err := tx.QueryRow(t.Context(), `
			SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = $1::regclass`, table).Scan(&read); err != nil {
			t.Fatal(err)
		}
		if read > 10 {
			t.Errorf("%d rows of %s were read for two files", read, table)
		}
	}
}

func TestAFileWhoseKeyIsGoneHasNoRowAndItsObjectGoes(t *testing.T) {
	t.Parallel()
	b, f := setup(t), newFile(uuid.New())
	uploaded := f.uploaded("")
	uploaded.Erased = true
	b.apply(t, uploaded, f.shared(uuid.NewString()), f.shared(""))
	b.apply(t, f.shared(uuid.NewString()))
	want := map[string]string{"file object " + f.id.String(): "doomed"}
	if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" { // a log that was restored may end here
		t.Error(diff)
	}
	b.apply(t, f.deleted())
	if diff := cmp.Diff(want, b.rows(t, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEventAboutNothingFailsTheBatch(t *testing.T) {
	t.Parallel()
	b, f := setup(t), newFile(uuid.New())
	for _, message := range []proto.Message{
		&eventsv1.FileUploaded{FileId: "nothing", OwnerId: f.owner.String(), Size: 1},
		&eventsv1.FileShared{FileId: f.id.String(), UserId: "nobody"},
		&eventsv1.FileDeleted{FileId: f.id.String()},
		&eventsv1.AvatarSet{UserId: "nobody", AvatarId: f.id.String()},
		&eventsv1.AvatarRemoved{UserId: f.owner.String()},
	} {
		if err := b.try(t.Context(), 1, newFile(f.owner).uploaded("whole.txt"), f.event(message)); err == nil {
			t.Errorf("a %s about nothing was applied", proto.MessageName(message))
		}
	}
	if rows := b.rows(t, 1); len(rows) != 0 {
		t.Errorf("half of a batch is in the rows: %v", rows)
	}
}

// Pages follow one another without a file twice or left out, also where many
// were completed in the same moment.
func TestPagesHoldEachFileOnceTheNewestFirst(t *testing.T) {
	t.Parallel()
	b, ada, bob := setup(t), uuid.New(), uuid.New()
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO read.projections (name, generation, epoch) VALUES ('files', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		f, other := newFile(ada), newFile(bob)
		f.version = int64(i / 3) // three at a time
		b.apply(t, f.uploaded(fmt.Sprint(i)), f.shared(bob.String()), other.uploaded("another's"))
	}
	for name, list := range map[string]func(context.Context, uuid.UUID, *store.Place, int) ([]store.File, error){
		"own": b.store.OwnFiles, "shared": b.store.SharedFiles,
	} {
		viewer := map[string]uuid.UUID{"own": ada, "shared": bob}[name]
		seen := map[uuid.UUID]bool{}
		var place *store.Place
		for range 4 {
			page, err := list(t.Context(), viewer, place, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range page {
				if seen[f.ID] || f.Owner != ada || place != nil && f.UploadedAt.After(place.UploadedAt) {
					t.Errorf("%s: %+v out of place", name, f)
				}
				if told := len(f.Readers) == 1 && f.Readers[0] == bob; told != (name == "own") {
					t.Errorf("%s: readers %v", name, f.Readers)
				}
				seen[f.ID] = true
				place = &store.Place{UploadedAt: f.UploadedAt, ID: f.ID}
			}
		}
		if len(seen) != 10 {
			t.Errorf("%s: %d of 10 files", name, len(seen))
		}
	}
}
