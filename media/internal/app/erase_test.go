package app_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/avatar"
	"github.com/muster-id/muster/media/internal/erasure"
	"github.com/muster-id/muster/platform/teststack"
)

func TestOfSomebodyWhoIsErasedNothingIsLeft(t *testing.T) {
	t.Parallel()
	w, ada, bob := newWorld(t), uuid.New(), uuid.New()
	for range 3 {
		w.upload(t, ada)
	}
	for range 2 { // the second stands on the first one's key
		if _, err := w.setAvatar(t, ada); err != nil {
			t.Fatal(err)
		}
	}
	if keys := w.count(t, `SELECT count(DISTINCT metadata_key_id) FROM log.events WHERE stream_id = $1`, avatar.Stream(ada.String())); keys != 1 {
		t.Errorf("the origins of her pictures are sealed under %d keys", keys)
	}
	begun := w.create(t, ada)
	if status := post(t, begun.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	shared := w.upload(t, bob)
	if _, err := w.share(t, bob, shared.ID, ada.String()); err != nil {
		t.Fatal(err)
	}
	picture, err := w.setAvatar(t, bob)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		w.erase(t, ada)
	}
	teststack.Eventually(t, "all keys but bob's two are destroyed", func() bool { return w.keyring.Alive() == 2 })
	teststack.Eventually(t, "no file of hers is listed", func() bool { return len(w.list(t, ada, false)) == 0 })
	if seen, err := w.get(t, bob, shared.ID); err != nil || len(seen.Readers) > 0 {
		t.Errorf("the access list holds %v, %v", seen.Readers, err)
	}
	teststack.Eventually(t, "bob's file is shared with nobody", func() bool { return w.count(t, `SELECT count(*) FROM read.shares`) == 0 })
	w.sweep(t)
	w.holds(t, fileRef(shared), picture)
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, fileRef(shared), picture)
	if rows := w.count(t, `SELECT count(*) FROM storage.objects WHERE owner_id = $1`, ada) + w.count(t, `SELECT count(*) FROM storage.uploads`); rows > 0 {
		t.Errorf("%d rows are left of her", rows)
	}
	if events := w.count(t, `SELECT count(*) FROM log.events WHERE type LIKE '%OwnerErased'`); events != 1 {
		t.Errorf("she was erased %d times", events)
	}
}

// Her token is good for a few minutes more.
func TestNothingNewIsTakenFromSomebodyWhoWasErased(t *testing.T) {
	t.Parallel()
	w, ada, bob := newWorld(t), uuid.New(), uuid.New()
	begun := w.create(t, ada)
	if status := post(t, begun.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	bobs := w.upload(t, bob)
	w.erase(t, ada)
	if _, err := w.setAvatar(t, ada); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("set avatar: %v, want ErrNotFound", err)
	}
	if _, err := w.complete(t, ada, begun.FileID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("complete: %v, want ErrNotFound", err)
	}
	if _, err := w.app.Commands.CreateUpload.Handle(t.Context(), app.CreateUpload{UserID: ada.String(), Name: "a", ContentType: "text/plain", Size: 1}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("create: %v, want ErrNotFound", err)
	}
	if shared, err := w.share(t, bob, bobs.ID, ada.String()); err != nil || len(shared.Readers) > 0 {
		t.Errorf("shared with %v, %v", shared.Readers, err)
	}
	w.sweep(t)
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, fileRef(bobs))
	if rows := w.count(t, `SELECT count(*) FROM storage.objects WHERE owner_id = $1`, ada); rows > 0 {
		t.Errorf("%d rows are left of her", rows)
	}
}

// The erasure comes between the object and the event, the worst moment for it.
func TestAnErasureInTheMiddleOfACommandWins(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(*testing.T, *world, uuid.UUID, func() error) error{
		"a picture": func(t *testing.T, w *world, ada uuid.UUID, erase func() error) error {
			w.log.before = erase
			_, err := w.setAvatar(t, ada)
			return err
		},
		"a later picture": func(t *testing.T, w *world, ada uuid.UUID, erase func() error) error {
			if _, err := w.setAvatar(t, ada); err != nil {
				t.Fatal(err)
			}
			w.log.before = erase
			_, err := w.setAvatar(t, ada)
			return err
		},
		"a file": func(t *testing.T, w *world, ada uuid.UUID, erase func() error) error {
			created := w.create(t, ada)
			if status := post(t, created.Form, note); status != http.StatusCreated {
				t.Fatalf("the form was answered with %d", status)
			}
			w.log.before = erase
			_, err := w.complete(t, ada, created.FileID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ada := newWorld(t), uuid.New()
			if err := command(t, w, ada, func() error { return w.tryErase(t, ada) }); !errors.Is(err, app.ErrNotFound) {
				t.Errorf("%v, want ErrNotFound", err)
			}
			w.sweep(t)
			w.clock.pass(swept)
			w.sweep(t)
			w.empty(t)
		})
	}
}

// An erasure that fails half-way is begun again, and goes on.
func TestAnErasureThatWasCutShortGoesOn(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	for range 3 {
		w.upload(t, ada)
	}
	cuts := 0
	for {
		w.log.after = powerCut // each append gets through, and each go dies of it
		err := w.tryErase(t, ada)
		if err == nil {
			break
		}
		if !errors.Is(err, errPowerCut) {
			t.Fatal(err)
		}
		cuts++
	}
	if cuts != 4 {
		t.Errorf("it was cut short %d times, want once for the avatar and once for each file", cuts)
	}
	teststack.Eventually(t, "all keys are destroyed", func() bool { return w.keyring.Alive() == 0 })
	teststack.Eventually(t, "all files are doomed", func() bool { return w.count(t, `SELECT count(*) FROM storage.objects WHERE state <> 'doomed'`) == 0 })
	w.sweep(t)
	w.clock.pass(swept)
	w.sweep(t)
	w.empty(t)
}

// While the rows are behind, nobody knows all the lists that somebody is on.
func TestAnErasureWaitsForTheRows(t *testing.T) {
	t.Parallel()
	w, ada, bob := stillWorld(t), uuid.New(), uuid.New()
	f := w.upload(t, bob)
	if _, err := w.share(t, bob, f.ID, ada.String()); err != nil {
		t.Fatal(err)
	}
	if err := w.eraseOnce(t, ada); !errors.Is(err, erasure.ErrBehind) {
		t.Errorf("%v, want ErrBehind", err)
	}
	w.follow(t)
	w.erase(t, ada)
	if seen, err := w.get(t, bob, f.ID); err != nil || len(seen.Readers) > 0 {
		t.Errorf("the access list holds %v, %v", seen.Readers, err)
	}
}
