package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
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
	for what, change := range map[string]map[string]any{
		"altered":               {"pageToken": changed(token)},
		"for another filter":    {"username": "grace"},
		"for another order":     {"order": "USER_ORDER_EMAIL"},
		"for the other way":     {"descending": true},
		"for another procedure": {"pageToken": "bm90IGEgdG9rZW4"},
	} {
		asked := map[string]any{}
		for field, value := range question {
			asked[field] = value
		}
		for field, value := range change {
			asked[field] = value
		}
		got := s.call(t, "AdminService/ListUsers", asked, admin.token)
		if got.detail == nil || got.detail.GetReason() != "PAGE_TOKEN_INVALID" {
			t.Errorf("%s: %d %s", what, got.status, got.raw)
		}
	}
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

// Two admins who change the same account at once: the one who read the older
// state is told.
func TestTwoAdminsAtOnce(t *testing.T) {
	s := shared(t)
	first := s.admin(t)
	p := somebody("second-admin")
	s.call(t, "AdminService/CreateUser", map[string]any{"username": p.Username, "email": p.Email, "password": p.Password, "roles": []string{"admin"}, "keepPassword": true}, first.token).ok(t)
	second := s.signsIn(t, p)
	bone := s.joins(t, "bone-of-contention")
	version := s.call(t, "AdminService/GetUser", map[string]any{"userId": bone.id}, first.token).ok(t).user()["version"]
	s.call(t, "AdminService/UpdateUser", map[string]any{"userId": bone.id, "firstName": "One", "expectedVersion": version}, first.token).ok(t)
	got := s.call(t, "AdminService/UpdateUser", map[string]any{"userId": bone.id, "firstName": "Two", "expectedVersion": version}, second.token)
	if got.detail == nil || got.detail.GetReason() != "CONFLICT" {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	if now := s.call(t, "AdminService/GetUser", map[string]any{"userId": bone.id}, second.token).ok(t).user(); now["firstName"] != "One" {
		t.Errorf("first name %v", now["firstName"])
	}
	s.call(t, "AdminService/DeleteUser", map[string]any{"userId": second.id}, first.token).ok(t)
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
