package app_test

import (
	"bytes"
	"errors"
	"image/jpeg"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
)

func (w *world) avatar(t *testing.T, id uuid.UUID) ([]byte, error) {
	t.Helper()
	return w.app.Queries.GetAvatar.Handle(t.Context(), app.GetAvatar{AvatarID: id.String()})
}

func TestAPictureBecomesTheAvatarAndTheFormerOneGoes(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	first, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	content, err := w.avatar(t, first.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jpeg.Decode(bytes.NewReader(content)); err != nil {
		t.Errorf("it is no JPEG: %v", err)
	}
	second, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	if _, err := w.avatar(t, first.ID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("the former picture: %v, want ErrNotFound", err)
	}
	w.sweep(t)
	w.holds(t, second)
	// Nothing is left to sweep, however long one waits.
	w.clock.pass(24 * time.Hour)
	w.sweep(t)
	w.holds(t, second)
	if rows := w.count(t, `SELECT count(*) FROM storage.objects`); rows != 1 {
		t.Errorf("%d rows for one object", rows)
	}
}

func TestARemovedAvatarGoes(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	remove := func() (removed bool) {
		t.Helper()
		_, removed, err := w.app.Commands.RemoveAvatar.Handle(t.Context(), app.RemoveAvatar{UserID: ada.String(), Request: request()})
		if err != nil {
			t.Fatal(err)
		}
		return removed
	}
	if remove() {
		t.Error("one that is not there was removed")
	}
	set, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	if !remove() || remove() {
		t.Error("it was not removed once")
	}
	w.settle(t)
	if _, err := w.avatar(t, set.ID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	// Its put is over, but a call of the same window could still come: twice.
	w.sweep(t)
	w.holds(t)
	w.clock.pass(swept)
	w.sweep(t)
	w.empty(t)
}

func TestWhatIsNoPictureLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.app.Commands.SetAvatar.Handle(t.Context(), app.SetAvatar{UserID: uuid.NewString(), Picture: []byte("<svg onload=alert(1)>")})
	if !errors.Is(err, picture.ErrNotAPicture) {
		t.Errorf("%v, want ErrNotAPicture", err)
	}
	w.empty(t)
}

// Of pictures that come at once, one is the avatar in the end, and no other is left.
func TestPicturesThatComeAtOnceEndInOneAvatar(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	const uploads = 4
	var together sync.WaitGroup
	refs, errs := make([]object.Ref, uploads), make([]error, uploads)
	for i := range uploads {
		together.Go(func() { refs[i], errs[i] = w.setAvatar(t, ada) })
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.sweep(t)
	w.clock.pass(swept)
	w.sweep(t)
	left := 0
	for _, ref := range refs {
		if _, err := w.avatar(t, ref.ID); err == nil {
			left++
			w.holds(t, ref)
		}
	}
	if left != 1 {
		t.Errorf("%d pictures are left", left)
	}
}

// The process dies between the object and the event.
func TestAPictureThatNoEventFollowedIsSwept(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	before, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	w.log.before = powerCut
	if _, err := w.setAvatar(t, ada); !errors.Is(err, errPowerCut) {
		t.Fatal(err)
	}
	if objects := len(w.s3.Objects(t)); objects != 2 {
		t.Fatalf("%d objects, the test needs 2", objects)
	}
	w.sweep(t) // too early: the call could still go on
	if objects := len(w.s3.Objects(t)); objects != 2 {
		t.Errorf("%d objects within the window", objects)
	}
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, before)
	if rows := w.count(t, `SELECT count(*) FROM storage.objects`); rows != 1 {
		t.Errorf("%d rows for one object", rows)
	}
}

// The process dies after the event, and the rows are hours behind: the log counts.
func TestAPictureThatTheLogKeepsIsNotSweptThoughTheRowsAreBehind(t *testing.T) {
	t.Parallel()
	w, ada := stillWorld(t), uuid.New()
	w.log.after = powerCut
	if _, err := w.setAvatar(t, ada); !errors.Is(err, errPowerCut) {
		t.Fatal(err)
	}
	for range 3 {
		w.clock.pass(swept)
		w.sweep(t)
	}
	objects := w.s3.Objects(t)
	if len(objects) != 1 {
		t.Fatalf("the bucket holds %v", objects)
	}
	w.follow(t)
	if _, err := w.avatar(t, uuid.MustParse(objects[0][len(objects[0])-36:])); err != nil {
		t.Error(err)
	}
}

// A picture that was replaced while the rows were behind is in nobody's way either.
func TestAFormerPictureIsSweptThoughTheRowsAreBehind(t *testing.T) {
	t.Parallel()
	w, ada := stillWorld(t), uuid.New()
	if _, err := w.setAvatar(t, ada); err != nil {
		t.Fatal(err)
	}
	second, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, second)
	w.follow(t)
	w.sweep(t)
	w.holds(t, second)
}

func TestWithoutStorageNothingIsStoredAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	set, err := w.setAvatar(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	w.line.Cut()
	began := time.Now()
	if _, err := w.setAvatar(t, ada); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("set: %v, want ErrUnavailable", err)
	}
	if _, err := w.avatar(t, set.ID); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	w.clock.pass(swept)
	if err := w.sweeper.Sweep(t.Context()); !errors.Is(err, object.ErrUnavailable) || w.sweeper.Stats().Failed != 1 {
		t.Errorf("sweep: %v, %+v", err, w.sweeper.Stats())
	}
	w.line.Mend()
	if _, err := w.avatar(t, set.ID); err != nil {
		t.Errorf("the former picture: %v", err)
	}
	w.sweep(t)
	w.holds(t, set)
	if rows := w.count(t, `SELECT count(*) FROM storage.objects`); rows != 1 {
		t.Errorf("%d rows for one object", rows)
	}
	if _, err := w.setAvatar(t, ada); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}
