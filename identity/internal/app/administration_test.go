package app_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
)

// administrator makes the first administrator and gives the account's id.
func (b bench) administrator(t *testing.T) string {
	t.Helper()
	b.ensureAdmin(t, firstAdmin(t))
	return b.admin(t)
}

// asAdmin is a call of an administrator's.
func asAdmin() app.Request {
	return app.Request{ID: "request-9", Origin: &eventstore.Origin{Address: "198.51.100.7", UserAgent: "admin-agent/1.0"}}
}

func newcomer(by string, roles ...string) app.CreateUser {
	return app.CreateUser{
		Username: "Bob.Canary", Email: "Bob@Canary-Mail.example", Password: secret.New("canary-password-9"),
		FirstName: "Bobcanary", LastName: "Builder", Roles: roles, By: by, Request: asAdmin(),
	}
}

func (b bench) create(t *testing.T, command app.CreateUser) app.Created {
	t.Helper()
	created, err := b.Commands.CreateUser.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// another makes one more administrator and gives the account's id.
func (b bench) another(t *testing.T, by string) string {
	t.Helper()
	command := newcomer(by, "admin")
	name := uuid.NewString()
	command.Username, command.Email = name, name+"@example.org"
	return b.create(t, command).Profile.ID
}

func changes(by, userID string) app.UpdateUser {
	return app.UpdateUser{UserID: userID, By: by, Request: asAdmin()}
}

func (b bench) administer(t *testing.T, command app.UpdateUser) app.Updated {
	t.Helper()
	updated, err := b.Commands.UpdateUser.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return updated
}

func roles(by, userID string, roles ...string) app.SetUserRoles {
	return app.SetUserRoles{UserID: userID, Roles: roles, By: by, Request: asAdmin()}
}

func (b bench) give(t *testing.T, command app.SetUserRoles) app.Updated {
	t.Helper()
	updated, err := b.Commands.SetUserRoles.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return updated
}

func (b bench) erase(t *testing.T, by, userID string) app.Deleted {
	t.Helper()
	deleted, err := b.Commands.DeleteUser.Handle(t.Context(), app.DeleteUser{UserID: userID, By: by, Request: asAdmin()})
	if err != nil {
		t.Fatal(err)
	}
	return deleted
}

// each runs every command of an administrator's about an account and gives the errors.
func (b bench) each(t *testing.T, by, userID string) map[string]error {
	t.Helper()
	errs := map[string]error{}
	rename := changes(by, userID)
	rename.FirstName = new("Other")
	_, errs["rename"] = b.Commands.UpdateUser.Handle(t.Context(), rename)
	password := changes(by, userID)
	password.Password = new(secret.New("canary-password-3"))
	_, errs["set a password"] = b.Commands.UpdateUser.Handle(t.Context(), password)
	_, errs["change nothing"] = b.Commands.UpdateUser.Handle(t.Context(), changes(by, userID))
	_, errs["give roles"] = b.Commands.SetUserRoles.Handle(t.Context(), roles(by, userID, "auditor"))
	_, errs["delete"] = b.Commands.DeleteUser.Handle(t.Context(), app.DeleteUser{UserID: userID, By: by, Request: asAdmin()})
	return errs
}

// An erased administrator leaves no origin behind that can be opened, and an
// erased person none of the administrator's.
func TestWhatAnAdministratorDoesIsRecordedUnderTheAdministratorsName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	created := b.create(t, newcomer(admin)).Profile.ID
	command := changes(admin, ada)
	command.Username, command.Active = new("augusta"), new(false)
	b.administer(t, command)
	b.give(t, roles(admin, ada, "auditor"))
	b.erase(t, admin, ada)
	adminsKey := b.events(t, admin)[0].KeyID
	for _, event := range append(b.events(t, ada)[2:], b.events(t, created)...) {
		if event.Metadata.Actor != user.Stream(admin) || event.Metadata.RequestID != "request-9" {
			t.Errorf("%s: metadata %+v", event.Type, event.Metadata)
		}
		if len(event.MetadataSealed) == 0 || event.MetadataKeyID != adminsKey {
			t.Errorf("%s: the origin is not sealed under the administrator's key", event.Type)
		}
		if event.KeyID == adminsKey {
			t.Errorf("%s is sealed under the administrator's key", event.Type)
		}
		if bytes.Contains(event.Payload, []byte("canary")) {
			t.Errorf("%s holds a sensitive field in clear", event.Type)
		}
	}
}

// An access token outlives its account, and its roles, by some minutes.
func TestAnAdministratorWhoIsOneNoLongerDoesNothingMore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	deactivated, erased, demoted := b.another(t, admin), b.another(t, admin), b.another(t, admin)
	off := changes(admin, deactivated)
	off.Active = new(false)
	b.administer(t, off)
	b.erase(t, admin, erased)
	b.give(t, roles(admin, demoted, "auditor"))
	before := b.count(t, `SELECT count(*) FROM log.events`)
	for by, want := range map[string]error{
		deactivated: user.ErrInactive, erased: app.ErrCallerGone, uuid.NewString(): app.ErrCallerGone, demoted: app.ErrCallerDemoted,
	} {
		for name, err := range b.each(t, by, ada) {
			t.Log(name)
			expect(t, err, want)
		}
		_, err := b.Commands.CreateUser.Handle(t.Context(), newcomer(by))
		expect(t, err, want)
		_, err = b.Commands.SetUserRoles.Handle(t.Context(), roles(by, by, "admin"))
		expect(t, err, want)
	}
	if events := b.count(t, `SELECT count(*) FROM log.events`); events != before {
		t.Errorf("%d events were recorded", events-before)
	}
}

func TestUnknownAccountsAreNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin := b.administrator(t)
	for name, err := range b.each(t, admin, uuid.NewString()) {
		t.Log(name)
		expect(t, err, app.ErrUserNotFound)
	}
	_, err := b.Queries.GetUser.Handle(t.Context(), app.GetUser{UserID: uuid.NewString()})
	expect(t, err, app.ErrUserNotFound)
}
