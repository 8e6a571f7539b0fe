package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// theAdmins is the password that the first admin changes to.
const theAdmins = "an admin's own password"

// admin signs the first admin in. The one-time password from the file lets the
// first caller do nothing but change it.
func (s *world) admin(t *testing.T) visitor {
	t.Helper()
	admin := person{Username: "admin", Password: theAdmins}
	oneTime := s.adminPassword(t)
	first := s.call(t, "AuthService/Login", map[string]any{"login": admin.Username, "password": oneTime})
	if first.status != http.StatusOK {
		return s.signsIn(t, admin) // changed already
	}
	if !first.bool("passwordChangeRequired") || first.text("refreshToken") != "" {
		t.Fatalf("got %s", first.raw)
	}
	token := bearer(first.text("accessToken"))
	s.call(t, "UserService/GetMe", map[string]any{}, token).refused(t, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
	s.call(t, "AdminService/ListUsers", map[string]any{}, token).refused(t, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
	s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": oneTime, "newPassword": theAdmins}, token).ok(t)
	return s.signsIn(t, admin)
}

// made is somebody of this role whose account the first admin has made.
func (s *world) made(t *testing.T, name, role string) visitor {
	t.Helper()
	p := somebody(name)
	s.call(t, "AdminService/CreateUser", map[string]any{
		"username": p.Username, "email": p.Email, "password": p.Password, "roles": []string{role}, "keepPassword": true,
	}, s.admin(t).token).ok(t)
	return s.signsIn(t, p)
}

// The first admin changes the password, and then opens an account, finds it,
// renames it, gives it roles, shuts it, opens it again and erases it. Each
// change holds for sign-in at once.
func TestAdministration(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	call := func(procedure string, body map[string]any) answer {
		t.Helper()
		return s.call(t, "AdminService/"+procedure, body, admin.token)
	}
	grace := somebody("grace")
	created := call("CreateUser", map[string]any{
		"username": grace.Username, "email": grace.Email, "password": grace.Password, "firstName": grace.FirstName, "lastName": grace.LastName,
	}).ok(t)
	id, _ := created.user()["id"].(string)
	if id == "" || !created.bool("signInReady") {
		t.Fatalf("created: %s", created.raw)
	}
	call("CreateUser", map[string]any{"username": "GRACE", "email": "other@example.org", "password": grace.Password}).
		refused(t, musterv1.Reason_REASON_USERNAME_TAKEN, "username")

	// The password that an admin chose is for one sign-in.
	login := s.call(t, "AuthService/Login", grace.login()).ok(t)
	if !login.bool("passwordChangeRequired") {
		t.Errorf("nothing has to be changed: %s", login.raw)
	}
	s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": grace.Password, "newPassword": "nanoseconds of wire"}, bearer(login.text("accessToken"))).ok(t)
	grace.Password = "nanoseconds of wire"
	session := s.signsIn(t, grace)
	s.call(t, "AdminService/ListUsers", map[string]any{}, session.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")

	listed := call("ListUsers", map[string]any{"username": "grac", "consistencyToken": created.text("consistencyToken")}).ok(t)
	if !strings.Contains(listed.raw, id) {
		t.Errorf("not in the list: %s", listed.raw)
	}

	// Renamed: the new names sign in at once, the old ones no longer.
	renamed := call("UpdateUser", map[string]any{"userId": id, "username": "grace.hopper", "email": "hopper@example.org"}).ok(t)
	if !renamed.bool("signInReady") || renamed.user()["username"] != "grace.hopper" {
		t.Errorf("renamed: %s", renamed.raw)
	}
	for _, old := range []string{grace.Username, grace.Email} {
		s.call(t, "AuthService/Login", map[string]any{"login": old, "password": grace.Password}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	}
	s.call(t, "AuthService/Login", map[string]any{"login": "hopper@example.org", "password": grace.Password}).ok(t)
	former := grace
	grace.Username, grace.Email = "grace.hopper", "hopper@example.org"
	session = s.signsIn(t, grace)
	call("UpdateUser", map[string]any{"userId": id, "firstName": "Stale", "expectedVersion": 1}).refused(t, musterv1.Reason_REASON_CONFLICT, "")
	successor := s.joins(t, former.Username) // the old names are free
	if successor.id == id {
		t.Error("the successor has the same account")
	}

	// A role counts from the next sign-in on.
	call("SetUserRoles", map[string]any{"userId": id, "roles": []string{"auditor"}}).ok(t)
	call("SetUserRoles", map[string]any{"userId": id, "roles": []string{"emperor"}}).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, "roles")
	auditor := s.signsIn(t, grace)
	s.call(t, "AdminService/GetUser", map[string]any{"userId": admin.id}, auditor.token).ok(t)
	s.call(t, "AdminService/DeleteUser", map[string]any{"userId": admin.id}, auditor.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")

	// Deactivated: no sign-in, and the sessions have ended, also once it is
	// active again.
	call("UpdateUser", map[string]any{"userId": id, "active": false}).ok(t)
	s.call(t, "AuthService/Login", grace.login()).refused(t, musterv1.Reason_REASON_ACCOUNT_INACTIVE, "")
	call("UpdateUser", map[string]any{"userId": id, "active": true}).ok(t)
	for _, ended := range []visitor{session, auditor} {
		s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": ended.refresh}).refused(t, musterv1.Reason_REASON_SESSION_REVOKED, "")
	}
	session = s.signsIn(t, grace)

	// Erased: the files go, the names are free.
	s.putAvatar(t, photograph(t, 40, 40, ""), session.token).ok(t)
	fileID := s.uploads(t, session.token, "papers.txt", []byte("papers"))
	s.call(t, "MediaService/ShareFile", map[string]any{"fileId": fileID, "everyone": true}, session.token).ok(t)
	erased := call("DeleteUser", map[string]any{"userId": id}).ok(t)
	s.call(t, "AuthService/Login", grace.login()).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": session.refresh}).refused(t, musterv1.Reason_REASON_SESSION_REVOKED, "")
	call("GetUser", map[string]any{"userId": id}).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
	call("UpdateUser", map[string]any{"userId": id, "active": true}).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
	if left := call("ListUsers", map[string]any{"username": grace.Username, "consistencyToken": erased.text("consistencyToken")}).ok(t); strings.Contains(left.raw, id) {
		t.Errorf("still in the list: %s", left.raw)
	}
	again := s.joins(t, grace.Username)
	if again.id == id {
		t.Error("the names came back with the erased account")
	}
	eventually(t, 60*time.Second, "the files of the erased person are gone", func() bool {
		return len(s.objectsOf(t, id)) == 0 && s.get(t, s.url+"/files/"+fileID).status == http.StatusNotFound
	})
}

// Admins cannot shut themselves out, alone or together.
func TestAdminsKeepThemselves(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	for procedure, body := range map[string]map[string]any{
		"UpdateUser":   {"userId": admin.id, "active": false},
		"SetUserRoles": {"userId": admin.id, "roles": []string{}},
		"DeleteUser":   {"userId": admin.id},
	} {
		got := s.call(t, "AdminService/"+procedure, body, admin.token)
		if got.detail == nil || got.detail.GetReason() != "OWN_ACCOUNT" {
			t.Errorf("%s of oneself: %d %s", procedure, got.status, got.raw)
		}
	}
	s.call(t, "UserService/GetMe", map[string]any{}, s.admin(t).token).ok(t)
}

// ListUsers tells everybody, page by page, and a page's token goes with the
// question that it was given for.
func TestListUsersPageByPage(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	var last answer
	for _, name := range []string{"paged-c", "paged-a", "paged-b"} {
		p := somebody(name)
		last = s.call(t, "AdminService/CreateUser", map[string]any{"username": p.Username, "email": p.Email, "password": p.Password}, admin.token).ok(t)
	}
	question := map[string]any{"username": "PAGED-", "pageSize": 2, "order": "USER_ORDER_USERNAME", "consistencyToken": last.text("consistencyToken")}
	names := func(a answer) (found []string) {
		users, _ := a.body["users"].([]any)
		for _, each := range users {
			user, _ := each.(map[string]any)
			name, _ := user["username"].(string)
			found = append(found, name)
		}
		return found
	}
	first := s.call(t, "AdminService/ListUsers", question, admin.token).ok(t)
	token := first.text("nextPageToken")
	question["pageToken"] = token
	second := s.call(t, "AdminService/ListUsers", question, admin.token).ok(t)
	if got := strings.Join(append(names(first), names(second)...), " "); got != "paged-a paged-b paged-c" || second.text("nextPageToken") != "" {
		t.Errorf("told %q, then %q", got, second.text("nextPageToken"))
	}
	for range 2 {
		s.uploads(t, admin.token, "page.txt", []byte("page"))
	}
	ofFiles := s.call(t, "MediaService/ListFiles", map[string]any{"pageSize": 1}, admin.token).ok(t).text("nextPageToken")
	if token == "" || ofFiles == "" {
		t.Fatalf("tokens %q and %q", token, ofFiles)
	}
	other := s.made(t, "other-pager", "admin")
	refusesTokens(t, s, "AdminService/ListUsers", question, admin, map[string]foreign{
		"altered":               {change: map[string]any{"pageToken": changed(token)}},
		"cut":                   {change: map[string]any{"pageToken": token[:len(token)/2]}},
		"none at all":           {change: map[string]any{"pageToken": "bm90IGEgdG9rZW4"}},
		"for another filter":    {change: map[string]any{"username": "grace"}},
		"for one filter more":   {change: map[string]any{"active": true}},
		"for another order":     {change: map[string]any{"order": "USER_ORDER_EMAIL"}},
		"for the other way":     {change: map[string]any{"descending": true}},
		"for another procedure": {change: map[string]any{"pageToken": ofFiles}},
		"of another admin":      {by: &other},
	})
}

// changed changes one character in the middle of a token.
func changed(token string) string {
	middle := len(token) / 2
	other := "A"
	if token[middle] == 'A' {
		other = "B"
	}
	return token[:middle] + other + token[middle+1:]
}

// Two admins who change the same account at once: one of them wins, and the other
// one, who read the older state, is told and has changed nothing.
func TestTwoAdminsAtOnce(t *testing.T) {
	s := shared(t)
	admins := []visitor{s.admin(t), s.made(t, "second-admin", "admin")}
	bone := s.joins(t, "bone-of-contention")
	client := musterv1connect.NewAdminServiceClient(h2c(t), s.url, connect.WithGRPC())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 5 {
		read, err := client.GetUser(ctx, asks(&musterv1.GetUserRequest{UserId: bone.id}, admins[0]))
		if err != nil {
			t.Fatal(err)
		}
		version := read.Msg.GetUser().GetVersion()
		type outcome struct {
			name string
			err  error
		}
		outcomes := make(chan outcome, len(admins))
		for i, admin := range admins {
			name := fmt.Sprintf("Name %d of %s", version, []string{"one", "two"}[i])
			go func() {
				_, err := client.UpdateUser(ctx, asks(&musterv1.UpdateUserRequest{UserId: bone.id, FirstName: &name, ExpectedVersion: version}, admin))
				outcomes <- outcome{name, err}
			}()
		}
		var won []string
		for range admins {
			switch got := <-outcomes; {
			case got.err == nil:
				won = append(won, got.name)
			case reason.Of(got.err) != musterv1.Reason_REASON_CONFLICT:
				t.Errorf("the other one is told %v", got.err)
			}
		}
		// Also one who comes later with what was read before.
		s.call(t, "AdminService/UpdateUser", map[string]any{"userId": bone.id, "firstName": "Late", "expectedVersion": version}, admins[1].token).
			refused(t, musterv1.Reason_REASON_CONFLICT, "")
		now := s.call(t, "AdminService/GetUser", map[string]any{"userId": bone.id}, admins[1].token).ok(t).user()
		if len(won) != 1 || now["firstName"] != won[0] {
			t.Fatalf("%v won, the first name is %v", won, now["firstName"])
		}
	}
	s.call(t, "AdminService/DeleteUser", map[string]any{"userId": admins[1].id}, admins[0].token).ok(t)
}

// Nobody but an admin administers: a user may do nothing of it, an auditor may
// look, and who is not signed in is asked to.
func TestAdminCallsOfOthers(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	user, auditor, target := s.joins(t, "no-admin"), s.made(t, "no-admin-but-auditor", "auditor"), s.joins(t, "no-admins-target")
	read := func() answer {
		t.Helper()
		return s.call(t, "AdminService/GetUser", map[string]any{"userId": target.id}, admin.token).ok(t)
	}
	before := read().raw
	calls := map[string]struct {
		body  map[string]any
		looks bool
	}{
		"AdminService/GetUser":        {map[string]any{"userId": target.id}, true},
		"AdminService/ListUsers":      {map[string]any{}, true},
		"AdminService/CreateUser":     {map[string]any{"username": "no-admins-child", "email": "child@example.org", "password": "correct horse", "roles": []string{"admin"}}, false},
		"AdminService/UpdateUser":     {map[string]any{"userId": target.id, "active": false}, false},
		"AdminService/SetUserRoles":   {map[string]any{"userId": target.id, "roles": []string{"admin"}}, false},
		"AdminService/DeleteUser":     {map[string]any{"userId": target.id}, false},
		"HealthService/CheckServices": {map[string]any{}, true},
	}
	methods := musterv1.File_muster_v1_admin_proto.Services().ByName("AdminService").Methods()
	for i := range methods.Len() {
		if name := "AdminService/" + string(methods.Get(i).Name()); calls[name].body == nil {
			t.Errorf("nobody tries %s", name)
		}
	}
	for procedure, call := range calls {
		t.Run(procedure, func(t *testing.T) {
			s.call(t, procedure, call.body).refused(t, musterv1.Reason_REASON_UNAUTHENTICATED, "")
			s.call(t, procedure, call.body, user.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")
			got := s.call(t, procedure, call.body, auditor.token)
			if call.looks {
				got.ok(t)
				return
			}
			got.refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")
		})
	}
	for _, oneself := range []visitor{user, auditor} {
		s.call(t, "AdminService/SetUserRoles", map[string]any{"userId": oneself.id, "roles": []string{"admin"}}, oneself.token).
			refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	}
	if after := read().raw; after != before {
		t.Errorf("was %s, is %s", before, after)
	}
}

// CheckServices tells an admin how every service is.
func TestCheckServices(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	eventually(t, 30*time.Second, "every service is up", func() bool {
		checked := s.call(t, "HealthService/CheckServices", map[string]any{}, admin.token).ok(t)
		services, _ := checked.body["services"].([]any)
		return len(services) == 4 && checked.text("state") == "STATE_UP"
	})
	nobody := s.joins(t, "health-nobody")
	s.call(t, "HealthService/CheckServices", map[string]any{}, nobody.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")
}
