package app_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestErasureNamesEveryKeyAndFreesEveryName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, first := b.administrator(t), b.register(t, ada()).UserID
	command := changes(admin, first)
	command.Password = new(secret.New("canary-password-3"))
	b.administer(t, command)
	var keys []string
	for _, event := range b.events(t, first) {
		if !slices.Contains(keys, event.KeyID) {
			keys = append(keys, event.KeyID)
		}
	}
	before := time.Now()
	deleted := b.erase(t, admin, first)
	if want := (eventstore.Position{Log: "identity", Epoch: b.log.Epoch(), Stream: user.Stream(first), Version: 4}); deleted.Position != want {
		t.Errorf("position %+v, want %+v", deleted.Position, want)
	}
	if deleted.ErasedAt.Before(before.Add(-time.Minute)) || deleted.ErasedAt.After(time.Now().Add(time.Minute)) {
		t.Errorf("erased at %s", deleted.ErasedAt)
	}
	events := b.events(t, first)
	erased, ok := events[len(events)-1].Message.(*eventsv1.UserErased)
	if !ok || erased.GetUserId() != first || !slices.Equal(erased.GetKeyIds(), keys) || len(keys) != 3 {
		t.Errorf("the last event is %v, want the keys %v", events[len(events)-1].Message, keys)
	}
	if held := b.count(t, `SELECT count(*) FROM log.reservations WHERE kind <> 'first_admin' AND stream_id = 'user-`+first+`'`); held != 0 {
		t.Errorf("it still holds %d names", held)
	}
	if second := b.register(t, ada()); second.UserID == first {
		t.Error("the names have opened the same account")
	}
}

// The keys are destroyed a moment later, and remembered for a minute.
func TestErasedAccountIsNotFoundAlthoughItCanStillBeOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	command := ada()
	command.Request.IdempotencyKey = "0123456789abcdef"
	erased := b.register(t, command).UserID
	renamed := rename(erased, new("Augusta"), nil)
	renamed.Request.IdempotencyKey = "fedcba9876543210"
	b.update(t, renamed)
	b.erase(t, admin, erased)
	if b.events(t, erased)[0].Erased {
		t.Fatal("the key is destroyed already, so this proves nothing")
	}
	for name, err := range b.each(t, admin, erased) {
		t.Log(name)
		expect(t, err, app.ErrUserNotFound)
	}
	_, err := b.Queries.GetUser.Handle(t.Context(), app.GetUser{UserID: erased})
	expect(t, err, app.ErrUserNotFound)
	// With an access token that is still good.
	_, err = b.Queries.GetProfile.Handle(t.Context(), app.GetProfile{UserID: erased})
	expect(t, err, app.ErrUserNotFound)
	_, err = b.Commands.UpdateProfile.Handle(t.Context(), rename(erased, new("Other"), nil))
	expect(t, err, app.ErrUserNotFound)
	_, err = b.Commands.UpdateProfile.Handle(t.Context(), renamed) // also not what it was then
	expect(t, err, app.ErrUserNotFound)
	_, err = b.Commands.ChangePassword.Handle(t.Context(), change(erased, "canary-password-1", "canary-password-2"))
	expect(t, err, app.ErrUserNotFound)
	_, err = b.Commands.Register.Handle(t.Context(), command) // the very request that opened it
	expect(t, err, eventstore.ErrCommandReused)
	if events := len(b.events(t, erased)); events != 4 {
		t.Errorf("%d events, want none after the erasure", events)
	}
}

func TestErasedAccountIsNotFoundOnceItsKeysAreGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, erased := b.administrator(t), b.register(t, ada()).UserID
	b.erase(t, admin, erased)
	events := b.events(t, erased)
	last, _ := events[len(events)-1].Message.(*eventsv1.UserErased)
	if err := b.ring.Destroy(t.Context(), last.GetKeyIds()); err != nil {
		t.Fatal(err)
	}
	if !b.events(t, erased)[0].Erased {
		t.Fatal("the keys still open it")
	}
	for name, err := range b.each(t, admin, erased) {
		t.Log(name)
		expect(t, err, app.ErrUserNotFound)
	}
	_, err := b.Queries.GetProfile.Handle(t.Context(), app.GetProfile{UserID: erased})
	expect(t, err, app.ErrUserNotFound)
	if len(b.events(t, admin)) == 0 || b.events(t, admin)[0].Erased {
		t.Error("the administrator's key is gone too")
	}
}

func TestErasureIsDecidedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, erased := b.administrator(t), b.register(t, ada()).UserID
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = b.Commands.DeleteUser.Handle(t.Context(), app.DeleteUser{UserID: erased, By: admin, Request: asAdmin()})
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			expect(t, err, app.ErrUserNotFound)
		}
	}
	if done != 1 || len(b.events(t, erased)) != 3 {
		t.Errorf("%d were told that it is done, and there are %d events; want 1 and 3", done, len(b.events(t, erased)))
	}
}

// Whatever slips in between, nothing follows an erasure.
func TestChangeThatAnErasureOvertakesIsNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	for name, act := range map[string]func(app.App, string) error{
		"rename": func(a app.App, id string) error {
			_, err := a.Commands.UpdateProfile.Handle(t.Context(), rename(id, new("Other"), nil))
			return err
		},
		"change password": func(a app.App, id string) error {
			_, err := a.Commands.ChangePassword.Handle(t.Context(), change(id, "canary-password-1", "canary-password-2"))
			return err
		},
		"set a password": func(a app.App, id string) error {
			command := changes(admin, id)
			command.Password = new(secret.New("canary-password-3"))
			_, err := a.Commands.UpdateUser.Handle(t.Context(), command)
			return err
		},
		"take its names elsewhere": func(a app.App, id string) error {
			command := changes(admin, id)
			command.Username = new("elsewhere")
			_, err := a.Commands.UpdateUser.Handle(t.Context(), command)
			return err
		},
	} {
		id := b.register(t, ada()).UserID
		var once sync.Once
		late := b.with(func(c *app.Config) {
			c.Log = interrupted{Log: b.log, before: func() error {
				once.Do(func() { b.erase(t, admin, id) })
				return nil
			}}
		})
		if err := act(late, id); !errors.Is(err, app.ErrUserNotFound) || errors.Is(err, seal.ErrKeyDestroyed) {
			t.Errorf("%s: got %v", name, err)
		}
		if events := len(b.events(t, id)); events != 3 {
			t.Errorf("%s: %d events, want none after the erasure", name, events)
		}
	}
}
