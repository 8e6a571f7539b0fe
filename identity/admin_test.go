package identity_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// withRoles puts roles into an access token.
func withRoles(roles ...string) func(*token.Claims) {
	return func(c *token.Claims) { c.Roles = roles }
}

// admin is the id of the first administrator's account.
func (h *house) admin(t *testing.T) string {
	t.Helper()
	page, err := h.events(t, "credentials").ReadLog(t.Context(), "", 1, 0)
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("%d events, %v", len(page.Events), err)
	}
	return strings.TrimPrefix(page.Events[0].Stream, "user-")
}

func bob() *identityv1.CreateUserRequest {
	return &identityv1.CreateUserRequest{Username: "Bob", Email: "bob@example.org", Password: "canary-password-9", FirstName: "Bob"}
}

func TestAnAdministratorsWayWithAnAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	admin, client := h.admin(t), h.identity(t, "gateway")
	ctx := telemetry.WithRequest(t.Context(), telemetry.Request{ID: "request-of-admin", ClientAddress: "192.0.2.99", UserAgent: "canary-agent"})

	created, err := client.CreateUser(ctx, signedIn(t, h, admin, bob(), withRoles("admin")))
	if err != nil {
		t.Fatal(err)
	}
	id := created.Msg.GetProfile().GetUserId()
	if profile := created.Msg.GetProfile(); profile.GetUsername() != "bob" || profile.GetVersion() != 2 || !profile.GetActive() || created.Msg.GetPosition().GetVersion() != 2 {
		t.Errorf("created %v at %v", profile, created.Msg.GetPosition())
	}
	updated, err := client.UpdateUser(ctx, signedIn(t, h, admin, &identityv1.UpdateUserRequest{
		UserId: id, Username: new("Robert"), Email: new("robert@example.org"), LastName: new("Builder"),
		Password: new("canary-password-8"), Active: new(false), ExpectedVersion: 2,
	}, withRoles("admin")))
	if err != nil {
		t.Fatal(err)
	}
	if profile := updated.Msg.GetProfile(); profile.GetUsername() != "robert" || profile.GetEmail() != "robert@example.org" ||
		profile.GetFirstName() != "Bob" || profile.GetLastName() != "Builder" || profile.GetActive() || profile.GetVersion() != 7 {
		t.Errorf("updated to %v", profile)
	}
	given, err := client.SetUserRoles(ctx, signedIn(t, h, admin, &identityv1.SetUserRolesRequest{UserId: id, Roles: []string{"auditor"}}, withRoles("admin")))
	if err != nil || !slices.Equal(given.Msg.GetProfile().GetRoles(), []string{"auditor"}) || given.Msg.GetPosition().GetVersion() != 8 {
		t.Errorf("given %v, %v", given, err)
	}
	get := &identityv1.GetUserRequest{UserId: id}
	got, err := client.GetUser(ctx, signedIn(t, h, admin, get, withRoles("auditor")))
	if err != nil || got.Msg.GetProfile().GetVersion() != 8 || got.Msg.GetProfile().GetUsername() != "robert" {
		t.Errorf("got %v, %v", got, err)
	}
	deleted, err := client.DeleteUser(ctx, signedIn(t, h, admin, &identityv1.DeleteUserRequest{UserId: id, ExpectedVersion: 8}, withRoles("admin")))
	if err != nil || !deleted.Msg.GetErasedAt().IsValid() || deleted.Msg.GetPosition().GetVersion() != 9 {
		t.Fatalf("deleted %v, %v", deleted, err)
	}
	_, err = client.GetUser(ctx, signedIn(t, h, admin, get, withRoles("admin")))
	expect(t, "an erased account", err, musterv1.Reason_REASON_NOT_FOUND, "")
	_, err = client.GetProfile(ctx, signedIn(t, h, id, &identityv1.GetProfileRequest{}, nil))
	expect(t, "an erased person's own profile", err, musterv1.Reason_REASON_NOT_FOUND, "")

	for _, canary := range []string{"canary", "robert", "192.0.2.99"} {
		if strings.Contains(strings.ToLower(h.log.String()), canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
}

func TestWhatAnAdministratorIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	admin, client, ada := h.admin(t), h.identity(t, "gateway"), h.register(t).GetUserId()
	ctx := t.Context()
	create := func(change func(*identityv1.CreateUserRequest), roles ...string) error {
		request := bob()
		change(request)
		_, err := client.CreateUser(ctx, signedIn(t, h, admin, request, withRoles(roles...)))
		return err
	}
	update := func(request *identityv1.UpdateUserRequest, roles ...string) error {
		_, err := client.UpdateUser(ctx, signedIn(t, h, admin, request, withRoles(roles...)))
		return err
	}
	roles := func(userID string, given []string, roles ...string) error {
		_, err := client.SetUserRoles(ctx, signedIn(t, h, admin, &identityv1.SetUserRolesRequest{UserId: userID, Roles: given}, withRoles(roles...)))
		return err
	}
	remove := func(by, userID string, expected int64, roles ...string) error {
		_, err := client.DeleteUser(ctx, signedIn(t, h, by, &identityv1.DeleteUserRequest{UserId: userID, ExpectedVersion: expected}, withRoles(roles...)))
		return err
	}
	nobody := uuid.NewString()
	for what, c := range map[string]struct {
		err   error
		want  musterv1.Reason
		field string
	}{
		"to create as an auditor":     {create(func(*identityv1.CreateUserRequest) {}, "auditor"), musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"to change as a user":         {update(&identityv1.UpdateUserRequest{UserId: ada}), musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"to give roles as a user":     {roles(ada, []string{"admin"}), musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"to delete as an auditor":     {remove(admin, ada, 0, "auditor"), musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"a taken username":            {create(func(c *identityv1.CreateUserRequest) { c.Username = "ada.CANARY" }, "admin"), musterv1.Reason_REASON_USERNAME_TAKEN, "username"},
		"a taken address":             {update(&identityv1.UpdateUserRequest{UserId: admin, Email: new("ada@canary.example")}, "admin"), musterv1.Reason_REASON_EMAIL_TAKEN, "email"},
		"an unknown role":             {create(func(c *identityv1.CreateUserRequest) { c.Roles = []string{"emperor"} }, "admin"), musterv1.Reason_REASON_INVALID_ARGUMENT, "roles"},
		"an unknown role for ada":     {roles(ada, []string{"emperor"}, "admin"), musterv1.Reason_REASON_INVALID_ARGUMENT, "roles"},
		"an id that is none":          {update(&identityv1.UpdateUserRequest{UserId: "ada"}, "admin"), musterv1.Reason_REASON_INVALID_ARGUMENT, "userId"},
		"to change nobody":            {update(&identityv1.UpdateUserRequest{UserId: nobody}, "admin"), musterv1.Reason_REASON_NOT_FOUND, ""},
		"to give nobody a role":       {roles(nobody, nil, "admin"), musterv1.Reason_REASON_NOT_FOUND, ""},
		"to delete nobody":            {remove(admin, nobody, 0, "admin"), musterv1.Reason_REASON_NOT_FOUND, ""},
		"a version that has moved":    {update(&identityv1.UpdateUserRequest{UserId: ada, LastName: new("King"), ExpectedVersion: 1}, "admin"), musterv1.Reason_REASON_CONFLICT, ""},
		"to delete what has moved":    {remove(admin, ada, 1, "admin"), musterv1.Reason_REASON_CONFLICT, ""},
		"to deactivate oneself":       {update(&identityv1.UpdateUserRequest{UserId: admin, Active: new(false)}, "admin"), musterv1.Reason_REASON_OWN_ACCOUNT, ""},
		"to demote oneself":           {roles(admin, []string{"auditor"}, "admin"), musterv1.Reason_REASON_OWN_ACCOUNT, ""},
		"to delete oneself":           {remove(admin, admin, 0, "admin"), musterv1.Reason_REASON_OWN_ACCOUNT, ""},
		"a role of the token's alone": {remove(ada, admin, 0, "admin"), musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"a caller who does not exist": {remove(nobody, ada, 0, "admin"), musterv1.Reason_REASON_TOKEN_INVALID, ""},
	} {
		expect(t, what, c.err, c.want, c.field)
	}
}

func TestAServiceMakesAndDestroysItsOwnKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	h.register(t)
	media := h.keyring(t, "media")
	made, err := seal.RemoteMaker(media).Make(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	stateOf := func(id string) seal.State {
		t.Helper()
		keys, err := seal.RemoteKeys(media).Get(t.Context(), []string{id})
		if err != nil {
			t.Fatal(err)
		}
		return keys[id].State
	}
	if state := stateOf(made[0].ID); state != seal.Alive {
		t.Errorf("a new key is %v", state)
	}
	if err := seal.RemoteDestroyer(media).Destroy(t.Context(), []string{made[0].ID, made[1].ID}); err != nil {
		t.Fatal(err)
	}
	if gone, left := stateOf(made[0].ID), stateOf(made[2].ID); gone != seal.Destroyed || left != seal.Alive {
		t.Errorf("the destroyed key is %v, the one beside it %v", gone, left)
	}
	page, err := h.events(t, "media").ReadLog(t.Context(), "", 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	persons := page.Events[len(page.Events)-1].KeyID
	err = seal.RemoteDestroyer(media).Destroy(t.Context(), []string{made[2].ID, persons})
	expect(t, "to destroy identity's key", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	if theirs, own := stateOf(persons), stateOf(made[2].ID); theirs != seal.Alive || own != seal.Alive {
		t.Errorf("after the refusal identity's key is %v, media's own %v", theirs, own)
	}
	for _, caller := range []string{"gateway", "credentials"} {
		_, err := seal.RemoteMaker(h.keyring(t, caller)).Make(t.Context(), 1)
		expect(t, caller+" makes a key", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
		err = seal.RemoteDestroyer(h.keyring(t, caller)).Destroy(t.Context(), []string{made[2].ID})
		expect(t, caller+" destroys a key", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	}
	for what, call := range map[string]func(context.Context) error{
		"too many keys": func(ctx context.Context) error {
			_, err := media.MakeKeys(ctx, connect.NewRequest(&keyringv1.MakeKeysRequest{Count: 1001}))
			return err
		},
		"no keys": func(ctx context.Context) error {
			_, err := media.MakeKeys(ctx, connect.NewRequest(&keyringv1.MakeKeysRequest{}))
			return err
		},
		"an id that is none": func(ctx context.Context) error {
			_, err := media.DestroyKeys(ctx, connect.NewRequest(&keyringv1.DestroyKeysRequest{KeyIds: []string{"x"}}))
			return err
		},
	} {
		if err := call(t.Context()); reason.Of(err) != musterv1.Reason_REASON_INVALID_ARGUMENT {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
