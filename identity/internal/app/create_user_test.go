package app_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestCreatedAccountIsOpenAndItsPasswordHasToBeChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	created := b.create(t, newcomer(admin, "auditor", "admin"))
	want := user.Profile{
		ID: created.Profile.ID, Username: "bob.canary", Email: "bob@canary-mail.example", FirstName: "Bobcanary", LastName: "Builder",
		Roles: []string{"admin", "auditor"}, Active: true,
	}
	if !reflect.DeepEqual(created.Profile.Profile, want) || created.Profile.Version != 2 || created.Position.Version != 2 {
		t.Errorf("got %+v at %+v", created.Profile, created.Position)
	}
	if !b.opensWith(t, created.Profile.ID, "canary-password-9") {
		t.Error("the password does not open the account")
	}
	got, err := b.Queries.GetUser.Handle(t.Context(), app.GetUser{UserID: created.Profile.ID})
	if err != nil || !reflect.DeepEqual(got, created.Profile) {
		t.Errorf("it is read as %+v, %v", got, err)
	}
	kept := newcomer(admin)
	kept.Username, kept.Email, kept.KeepPassword = "carol", "carol@example.org", true
	for id, kind := range map[string]eventsv1.PasswordKind{
		created.Profile.ID:           eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME,
		b.create(t, kept).Profile.ID: eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN,
	} {
		if set, ok := b.events(t, id)[1].Message.(*eventsv1.PasswordSet); !ok || set.GetKind() != kind {
			t.Errorf("the password is %v, want %v", set.GetKind(), kind)
		}
	}
}

func TestCreatingTakesNoNameTwiceAndCostsThenNoHash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	b.register(t, ada())
	before := b.passwords.Stats().Hashes
	for _, c := range []struct {
		username, email string
		want            error
	}{{"ADA.canary", "free@example.org", app.ErrUsernameTaken}, {"free", "ADA@canary-mail.example", app.ErrEmailTaken}} {
		command := newcomer(admin)
		command.Username, command.Email = c.username, c.email
		_, err := b.Commands.CreateUser.Handle(t.Context(), command)
		expect(t, err, c.want)
	}
	if hashes := b.passwords.Stats().Hashes; hashes != before {
		t.Errorf("%d hashes were computed", hashes-before)
	}
}

func TestBadInputOfAdministratorsNamesTheField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	before := b.count(t, `SELECT count(*) FROM log.events`)
	for field, spoil := range map[string]func(*app.CreateUser, *app.UpdateUser){
		"username":  func(c *app.CreateUser, u *app.UpdateUser) { c.Username, u.Username = "b b", new("b b") },
		"email":     func(c *app.CreateUser, u *app.UpdateUser) { c.Email, u.Email = "bob", new("bob") },
		"firstName": func(c *app.CreateUser, u *app.UpdateUser) { c.FirstName, u.FirstName = "\u202e", new("\u202e") },
		"lastName":  func(c *app.CreateUser, u *app.UpdateUser) { c.LastName, u.LastName = "\u202e", new("\u202e") },
		"password": func(c *app.CreateUser, u *app.UpdateUser) {
			c.Password, u.Password = secret.New("short"), new(secret.New("short"))
		},
	} {
		create, update := newcomer(admin), changes(admin, admin)
		spoil(&create, &update)
		_, createErr := b.Commands.CreateUser.Handle(t.Context(), create)
		_, updateErr := b.Commands.UpdateUser.Handle(t.Context(), update)
		for name, err := range map[string]error{"create": createErr, "update": updateErr} {
			if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s, %s: got %v", name, field, err)
			}
		}
	}
	_, createErr := b.Commands.CreateUser.Handle(t.Context(), newcomer(admin, "admin", "emperor"))
	_, rolesErr := b.Commands.SetUserRoles.Handle(t.Context(), roles(admin, admin, "admin", "emperor"))
	for name, err := range map[string]error{"create": createErr, "set roles": rolesErr} {
		if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != "roles" {
			t.Errorf("%s with an unknown role: got %v", name, err)
		}
	}
	if events := b.count(t, `SELECT count(*) FROM log.events`); events != before {
		t.Errorf("%d events were recorded", events-before)
	}
}

func TestRepeatedCreationIsAnsweredFromTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	command := newcomer(admin, "auditor")
	command.Request.IdempotencyKey = "0123456789abcdef"
	created := b.create(t, command)
	b.give(t, roles(admin, created.Profile.ID)) // meanwhile
	if again := b.create(t, command); !reflect.DeepEqual(again, created) {
		t.Errorf("got %+v, want %+v", again, created)
	}
	for name, change := range map[string]func(*app.CreateUser){
		"another name":     func(c *app.CreateUser) { c.FirstName = "Robert" },
		"other roles":      func(c *app.CreateUser) { c.Roles = nil },
		"another promise":  func(c *app.CreateUser) { c.KeepPassword = true },
		"another password": func(c *app.CreateUser) { c.Password = secret.New("canary-password-8") },
	} {
		other := command
		change(&other)
		t.Log(name)
		_, err := b.Commands.CreateUser.Handle(t.Context(), other)
		expect(t, err, eventstore.ErrCommandReused)
	}
	// Another administrator's key is another key.
	theirs := command
	theirs.By = b.another(t, admin)
	_, err := b.Commands.CreateUser.Handle(t.Context(), theirs)
	expect(t, err, app.ErrUsernameTaken)
	// And the answer is not given of somebody who is erased.
	b.erase(t, admin, created.Profile.ID)
	_, err = b.Commands.CreateUser.Handle(t.Context(), command)
	expect(t, err, eventstore.ErrCommandReused)
}

func TestAdministrationPassesOverloadOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	busy := b.with(func(c *app.Config) { c.Passwords = overloaded{} })
	_, createErr := busy.Commands.CreateUser.Handle(t.Context(), newcomer(admin))
	command := changes(admin, admin)
	command.Password = new(secret.New("canary-password-3"))
	_, updateErr := busy.Commands.UpdateUser.Handle(t.Context(), command)
	for name, err := range map[string]error{"create": createErr, "update": updateErr} {
		if overloaded := (*password.OverloadedError)(nil); !errors.As(err, &overloaded) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
