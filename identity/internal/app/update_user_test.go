package app_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
)

func TestAllThatIsGivenIsChangedInOneAppend(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	command := changes(admin, ada)
	command.Username, command.Email = new(" Augusta "), new("Countess@Example.org")
	command.FirstName, command.LastName = new("Augusta"), new("King")
	command.Password, command.Active = new(secret.New("canary-password-3")), new(false)
	updated := b.administer(t, command)
	want := user.Profile{ID: ada, Username: "augusta", Email: "countess@example.org", FirstName: "Augusta", LastName: "King"}
	if !reflect.DeepEqual(updated.Profile.Profile, want) || updated.Profile.Version != 7 || updated.Position.Version != 7 {
		t.Errorf("got %+v at %+v", updated.Profile, updated.Position)
	}
	if !b.opensWith(t, ada, "canary-password-3") {
		t.Error("the new password does not open the account")
	}
	if moments := b.count(t, `SELECT count(DISTINCT transaction_id) FROM log.events WHERE stream_version > 2`); moments != 1 {
		t.Errorf("it took %d transactions", moments)
	}
}

// One name is free and the other is not: then neither is changed.
func TestRefusedChangeChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	b.create(t, newcomer(admin))
	before := b.passwords.Stats().Hashes
	for _, c := range []struct {
		username, email string
		want            error
	}{
		{"BOB.canary", "free@example.org", app.ErrUsernameTaken},
		{"free", "BOB@canary-mail.example", app.ErrEmailTaken},
	} {
		for _, password := range []*secret.String{nil, new(secret.New("canary-password-3"))} {
			command := changes(admin, ada)
			command.Username, command.Email, command.Password, command.Active = &c.username, &c.email, password, new(false)
			_, err := b.Commands.UpdateUser.Handle(t.Context(), command)
			expect(t, err, c.want)
		}
	}
	own := changes(admin, admin)
	own.Password, own.Active = new(secret.New("canary-password-3")), new(false)
	_, err := b.Commands.UpdateUser.Handle(t.Context(), own)
	expect(t, err, user.ErrOwnAccount)
	if events := len(b.events(t, ada)); events != 2 {
		t.Errorf("%d events, want those of the registration", events)
	}
	if hashes := b.passwords.Stats().Hashes; hashes != before {
		t.Errorf("%d hashes were computed for what was refused", hashes-before)
	}
	free := changes(admin, ada)
	free.Username, free.Email = new("free"), new("free@example.org")
	b.administer(t, free) // no reservation was left behind
}

func TestChangeWithoutAChangeRecordsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	command := changes(admin, ada)
	command.Username, command.Email, command.Active = new("ADA.Canary"), new("ADA@canary-mail.example"), new(true)
	updated := b.administer(t, command)
	if updated.Position.Version != 2 || updated.Profile.Username != "ada.canary" || len(b.events(t, ada)) != 2 {
		t.Errorf("got %+v", updated)
	}
}

func TestFreedNamesAreAnybodysAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, first := b.administrator(t), b.register(t, ada()).UserID
	command := changes(admin, first)
	command.Username, command.Email = new("augusta"), new("countess@example.org")
	b.administer(t, command)
	b.register(t, ada()) // under the former names
	back := changes(admin, first)
	back.Username = new("ada.canary")
	_, err := b.Commands.UpdateUser.Handle(t.Context(), back)
	expect(t, err, app.ErrUsernameTaken)
	back.Username, back.Email = nil, new("ada@canary-mail.example")
	_, err = b.Commands.UpdateUser.Handle(t.Context(), back)
	expect(t, err, app.ErrEmailTaken)
}

func TestNameThatIsGivenUpHasOneNextHolder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, holder := b.administrator(t), b.register(t, ada()).UserID
	give := changes(admin, holder)
	give.Username, give.Email = new("augusta"), new("countess@example.org")
	b.administer(t, give)
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = b.Commands.Register.Handle(t.Context(), ada()) })
	}
	all.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else if !errors.Is(err, app.ErrUsernameTaken) && !errors.Is(err, app.ErrEmailTaken) {
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("%d have the name, want 1", taken)
	}
}

func TestVersionThatHasMovedRefusesEveryChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	b.update(t, rename(ada, new("Augusta"), nil)) // version 3
	command := changes(admin, ada)
	command.FirstName, command.Password, command.ExpectedVersion = new("Other"), new(secret.New("canary-password-3")), 2
	_, updateErr := b.Commands.UpdateUser.Handle(t.Context(), command)
	give := roles(admin, ada, "auditor")
	give.ExpectedVersion = 4
	_, rolesErr := b.Commands.SetUserRoles.Handle(t.Context(), give)
	_, deleteErr := b.Commands.DeleteUser.Handle(t.Context(), app.DeleteUser{UserID: ada, By: admin, ExpectedVersion: 2, Request: asAdmin()})
	for _, err := range []error{updateErr, rolesErr, deleteErr} {
		expect(t, err, eventstore.ErrWrongVersion)
	}
	if events := len(b.events(t, ada)); events != 3 {
		t.Errorf("%d events, want 3", events)
	}
	command.ExpectedVersion = 3
	b.administer(t, command)
	give.ExpectedVersion = 5
	b.give(t, give)
}

func TestOfTwoWhoChangeTheSameVersionOneIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	admins := []string{admin, b.another(t, admin)}
	for round := range 4 {
		before, err := b.Queries.GetUser.Handle(t.Context(), app.GetUser{UserID: ada})
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, len(admins))
		var both sync.WaitGroup
		for i, by := range admins {
			command := changes(by, ada)
			command.FirstName, command.ExpectedVersion = new(fmt.Sprintf("%d in round %d", i, round)), before.Version
			both.Go(func() { _, errs[i] = b.Commands.UpdateUser.Handle(t.Context(), command) })
		}
		both.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				refused++
				expect(t, err, eventstore.ErrWrongVersion)
			}
		}
		if refused != 1 {
			t.Fatalf("round %d: %d were refused, want 1", round, refused)
		}
	}
}

// Who gives no version wants the change on whatever there is.
func TestChangesOfDifferentPartsAtOnceAreBothMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	var both sync.WaitGroup
	for _, change := range []func(*app.UpdateUser){
		func(u *app.UpdateUser) { u.Username = new("augusta") },
		func(u *app.UpdateUser) { u.Email = new("countess@example.org") },
		func(u *app.UpdateUser) { u.FirstName = new("Augusta") },
	} {
		command := changes(admin, ada)
		change(&command)
		both.Go(func() {
			if _, err := b.Commands.UpdateUser.Handle(t.Context(), command); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	got, err := b.Queries.GetUser.Handle(t.Context(), app.GetUser{UserID: ada})
	if err != nil || got.Username != "augusta" || got.Email != "countess@example.org" || got.FirstName != "Augusta" || got.LastName != "Lovelacecanary" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRepeatedChangeIsAnsweredFromTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	command := changes(admin, ada)
	command.Request.IdempotencyKey = "0123456789abcdef"
	command.Username, command.Password, command.ExpectedVersion = new("augusta"), new(secret.New("canary-password-3")), 2
	updated := b.administer(t, command)
	b.update(t, rename(ada, new("Augusta"), nil)) // meanwhile
	if again := b.administer(t, command); !reflect.DeepEqual(again, updated) {
		t.Errorf("got %+v, want %+v", again, updated)
	}
	for name, change := range map[string]func(*app.UpdateUser){
		"another name":     func(u *app.UpdateUser) { u.Username = new("byron") },
		"one name more":    func(u *app.UpdateUser) { u.LastName = new("") },
		"active as well":   func(u *app.UpdateUser) { u.Active = new(true) },
		"no password":      func(u *app.UpdateUser) { u.Password = nil },
		"another password": func(u *app.UpdateUser) { u.Password = new(secret.New("canary-password-4")) },
		"another version":  func(u *app.UpdateUser) { u.ExpectedVersion = 0 },
		"somebody else":    func(u *app.UpdateUser) { u.UserID = admin },
	} {
		other := command
		change(&other)
		t.Log(name)
		_, err := b.Commands.UpdateUser.Handle(t.Context(), other)
		expect(t, err, eventstore.ErrCommandReused)
	}
	// What an account was is not told once it is erased.
	plain := changes(admin, ada)
	plain.Request.IdempotencyKey = "fedcba9876543210"
	plain.FirstName = new("Plain")
	b.administer(t, plain)
	b.erase(t, admin, ada)
	_, err := b.Commands.UpdateUser.Handle(t.Context(), plain)
	expect(t, err, app.ErrUserNotFound)
}
