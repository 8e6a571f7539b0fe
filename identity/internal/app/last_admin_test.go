package app_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
)

// unmake are the ways in which somebody stops being an administrator.
func unmake(t *testing.T, through app.App) map[string]func(by, userID string) error {
	return map[string]func(by, userID string) error{
		"demoted": func(by, userID string) error {
			_, err := through.Commands.SetUserRoles.Handle(t.Context(), roles(by, userID, "auditor"))
			return err
		},
		"deactivated": func(by, userID string) error {
			command := changes(by, userID)
			command.Active = new(false)
			_, err := through.Commands.UpdateUser.Handle(t.Context(), command)
			return err
		},
		"deleted": func(by, userID string) error {
			_, err := through.Commands.DeleteUser.Handle(t.Context(), app.DeleteUser{UserID: userID, By: by, Request: asAdmin()})
			return err
		},
	}
}

// outcome of a command about an administrator: done, or one of the refusals.
func outcome(t *testing.T, err error, refusals ...error) (done bool) {
	t.Helper()
	if err != nil && !slices.ContainsFunc(refusals, func(refusal error) bool { return errors.Is(err, refusal) }) {
		t.Errorf("got %v, want one of %v", err, refusals)
	}
	return err == nil
}

func (b bench) admins(t *testing.T) int {
	t.Helper()
	return b.count(t, `SELECT count(*) FROM log.reservations WHERE kind = 'admin'`)
}

func TestAdministratorsDoNotLockThemselvesOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	b.another(t, admin)
	for name, unmake := range unmake(t, b.App) {
		t.Log(name)
		expect(t, unmake(admin, admin), user.ErrOwnAccount)
	}
	if admins := b.admins(t); admins != 2 {
		t.Errorf("%d administrators, want 2", admins)
	}
}

// The caller may do so when the command is decided, and is no administrator any
// more when it is appended.
func TestLastAdministratorStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	var meanwhile func() error
	late := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: func() error { return meanwhile() }}
	})
	for gone, goes := range unmake(t, b.App) {
		for name, unmake := range unmake(t, late) {
			second := b.another(t, admin)
			meanwhile = func() error { return goes(admin, second) }
			if err := unmake(second, admin); !errors.Is(err, app.ErrLastAdmin) {
				t.Errorf("%s by somebody %s: got %v", name, gone, err)
			}
		}
	}
	if events := len(b.events(t, admin)); events != 2 || b.admins(t) != 1 {
		t.Errorf("%d events and %d administrators, want 2 and 1", events, b.admins(t))
	}
}

func TestEveryWayOfMakingAndUnmakingAnAdministratorIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	second := b.another(t, admin)
	active := func(on bool) func() error {
		return func() error {
			command := changes(admin, second)
			command.Active = new(on)
			_, err := b.Commands.UpdateUser.Handle(t.Context(), command)
			return err
		}
	}
	given := func(names ...string) func() error {
		return func() error {
			_, err := b.Commands.SetUserRoles.Handle(t.Context(), roles(admin, second, names...))
			return err
		}
	}
	for i, step := range []struct {
		happens func() error
		want    int
	}{
		{func() error { return nil }, 2},
		{given("auditor"), 1}, {given("admin"), 2}, {given("admin", "auditor"), 2},
		{active(false), 1}, {given("auditor"), 1}, {active(true), 1}, {active(false), 1}, {given("admin"), 1}, {active(true), 2},
		{func() error { b.erase(t, admin, second); return nil }, 1},
	} {
		if err := step.happens(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if admins := b.admins(t); admins != step.want {
			t.Errorf("step %d: %d administrators are counted, want %d", i, admins, step.want)
		}
	}
}

// Two administrators who unmake one another at the same moment, in every way:
// one of them stays.
func TestOfTwoWhoUnmakeOneAnotherOneStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.administrator(t)
	ways := unmake(t, b.App)
	for one, unmakeOne := range ways {
		for other, unmakeOther := range ways {
			second := b.another(t, first)
			var both sync.WaitGroup
			var errs [2]error
			both.Go(func() { errs[0] = unmakeOne(first, second) })
			both.Go(func() { errs[1] = unmakeOther(second, first) })
			both.Wait()
			// Who came second was the last one's undoing, or was gone already.
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("%s and %s: got %v and %v, want one refusal", one, other, errs[0], errs[1])
			}
			for _, err := range errs {
				outcome(t, err, app.ErrLastAdmin, user.ErrInactive, app.ErrCallerGone, app.ErrCallerDemoted)
			}
			if admins := b.admins(t); admins != 1 {
				t.Fatalf("%s and %s: %d administrators are left", one, other, admins)
			}
			if errs[1] == nil {
				first = second
			}
		}
	}
}

// Each demotes the next one round a ring, all at the same moment.
func TestOfManyWhoAreDemotedAtOnceOneStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	all := []string{b.administrator(t)}
	for range 7 {
		all = append(all, b.another(t, all[0]))
	}
	errs := make([]error, len(all))
	var demotions sync.WaitGroup
	for i, by := range all {
		demotions.Go(func() { _, errs[i] = b.Commands.SetUserRoles.Handle(t.Context(), roles(by, all[(i+1)%len(all)])) })
	}
	demotions.Wait()
	stay := 0
	for _, err := range errs {
		if !outcome(t, err, app.ErrLastAdmin, app.ErrCallerDemoted) {
			stay++
		}
	}
	if stay == 0 || b.admins(t) != stay {
		t.Errorf("%d were not demoted and %d administrators are left", stay, b.admins(t))
	}
}
