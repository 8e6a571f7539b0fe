package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	createUser = "/muster.v1.AdminService/CreateUser"
	getUser    = "/muster.v1.AdminService/GetUser"
	listUsers  = "/muster.v1.AdminService/ListUsers"
	updateUser = "/muster.v1.AdminService/UpdateUser"
	setRoles   = "/muster.v1.AdminService/SetUserRoles"
	deleteUser = "/muster.v1.AdminService/DeleteUser"
)

// watched makes a method tell what it is asked, and answer.
func watched[Req, Res any](method *func(context.Context, *Req) (*Res, error), answer *Res) <-chan *Req {
	asked := make(chan *Req, 1)
	*method = func(_ context.Context, r *Req) (*Res, error) {
		asked <- r
		return answer, nil
	}
	return asked
}

// sameJSON compares an answer's body with what it has to be.
func (a answer) sameJSON(t *testing.T, want string) {
	t.Helper()
	a.ok(t)
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(a.body)
	again, _ := json.Marshal(wanted)
	if string(got) != string(again) {
		t.Errorf("got  %s\nwant %s", got, again)
	}
}

// signed is the consistency token of a position.
func signed(t *testing.T, at *eventlogv1.Position) string {
	t.Helper()
	tokens, err := consistency.NewSigner(secret.NewBytes([]byte(strings.Repeat("k", 32))))
	if err != nil {
		t.Fatal(err)
	}
	text, err := tokens.Sign(at)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAdministrationIsPassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	profile := &identityv1.Profile{
		UserId: eve, Username: "eve", Email: "eve@example.com", FirstName: "Eve", LastName: "Moneypenny", Roles: []string{"auditor"},
		Active: true, RegisteredAt: timestamppb.New(time.Unix(1, 0)), UpdatedAt: timestamppb.New(time.Unix(2, 0)), Version: 7, AvatarId: avatar,
	}
	user := `{"id":"` + eve + `","username":"eve","email":"eve@example.com","firstName":"Eve","lastName":"Moneypenny","roles":["auditor"],` +
		`"active":true,"registeredAt":"1970-01-01T00:00:01Z","updatedAt":"1970-01-01T00:00:02Z","avatarUrl":"` + w.base + `/avatars/` + avatar + `","version":"7"}`
	changed := `{"user":` + user + `,"signInReady":true,"consistencyToken":"` + signed(t, position) + `"}`
	username, email, password, active, first, last := "eve2", "eve2@example.com", "correct horse", false, "", "M."
	// Each is called once, with all that it takes.
	for procedure, c := range map[string]struct {
		body  string
		asked func() proto.Message
		want  proto.Message
		reply string
	}{
		createUser: {
			`{"username":"eve","email":"eve@example.com","password":"correct horse","firstName":"Eve","lastName":"Moneypenny","roles":["auditor"],"keepPassword":true}`,
			asked(watched(&w.identity.createUser, &identityv1.CreateUserResponse{Profile: profile, Position: position})),
			&identityv1.CreateUserRequest{
				Username: "eve", Email: "eve@example.com", Password: "correct horse", FirstName: "Eve", LastName: "Moneypenny",
				Roles: []string{"auditor"}, KeepPassword: true, IdempotencyKey: "0192d1a0-key-0001",
			},
			changed,
		},
		getUser: {
			`{"userId":"` + eve + `"}`,
			asked(watched(&w.identity.getUser, &identityv1.GetUserResponse{Profile: profile})),
			&identityv1.GetUserRequest{UserId: eve},
			`{"user":` + user + `}`,
		},
		updateUser: {
			`{"userId":"` + eve + `","username":"eve2","email":"eve2@example.com","password":"correct horse","active":false,"firstName":"","lastName":"M.","expectedVersion":"6"}`,
			asked(watched(&w.identity.updateUser, &identityv1.UpdateUserResponse{Profile: profile, Position: position})),
			&identityv1.UpdateUserRequest{
				UserId: eve, Username: &username, Email: &email, Password: &password, Active: &active, FirstName: &first, LastName: &last,
				ExpectedVersion: 6, IdempotencyKey: "0192d1a0-key-0001",
			},
			changed,
		},
		setRoles: {
			`{"userId":"` + eve + `","roles":["auditor"],"expectedVersion":"6"}`,
			asked(watched(&w.identity.setUserRoles, &identityv1.SetUserRolesResponse{Profile: profile, Position: position})),
			&identityv1.SetUserRolesRequest{UserId: eve, Roles: []string{"auditor"}, ExpectedVersion: 6, IdempotencyKey: "0192d1a0-key-0001"},
			changed,
		},
		deleteUser: {
			`{"userId":"` + eve + `","expectedVersion":"6"}`,
			asked(watched(&w.identity.deleteUser, &identityv1.DeleteUserResponse{ErasedAt: timestamppb.New(time.Unix(3, 0)), Position: position})),
			&identityv1.DeleteUserRequest{UserId: eve, ExpectedVersion: 6},
			`{"erasedAt":"1970-01-01T00:00:03Z","consistencyToken":"` + signed(t, position) + `"}`,
		},
	} {
		awaited := watched(&w.credentials.await, &credentialsv1.AwaitAccessResponse{Applied: true})
		got := w.post(procedure, c.body, "Authorization", w.bearerOf(access.Admin), "Idempotency-Key", "0192d1a0-key-0001")
		got.sameJSON(t, c.reply)
		if r := c.asked(); !proto.Equal(r, c.want) {
			t.Errorf("%s: identity was asked %v, want %v", procedure, r, c.want)
		}
		if procedure == getUser {
			continue // it changes nothing
		}
		if r := <-awaited; !proto.Equal(r.GetPosition(), position) {
			t.Errorf("%s: sign-in was waited for until %v", procedure, r.GetPosition())
		}
		if got.header.Get("Muster-Consistency-Token") != signed(t, position) {
			t.Errorf("%s: the token in the header is %q", procedure, got.header.Get("Muster-Consistency-Token"))
		}
	}
}

// asked reads what a watched method was asked.
func asked[Req any](requests <-chan *Req) func() proto.Message {
	return func() proto.Message {
		m, _ := any(<-requests).(proto.Message)
		return m
	}
}

func TestWhatIsLeftOutOfAnUpdateStaysOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := watched(&w.identity.updateUser, &identityv1.UpdateUserResponse{Profile: &identityv1.Profile{UserId: eve}, Position: position})
	w.post(updateUser, `{"userId":"`+eve+`","lastName":""}`, "Authorization", w.bearerOf(access.Admin)).ok(t)
	empty := ""
	if r, want := <-asked, (&identityv1.UpdateUserRequest{UserId: eve, LastName: &empty}); !proto.Equal(r, want) {
		t.Errorf("identity was asked %v", r)
	}
}

func TestAChangeOfAnAdministratorSucceedsWhateverBecomesOfTheWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.credentials.await = fails[credentialsv1.AwaitAccessRequest, credentialsv1.AwaitAccessResponse](errors.New("disk on fire"))
	for procedure, body := range map[string]string{
		createUser: `{"username":"eve","email":"eve@example.com","password":"correct horse"}`,
		updateUser: `{"userId":"` + eve + `","active":false}`,
		setRoles:   `{"userId":"` + eve + `","roles":[]}`,
		deleteUser: `{"userId":"` + eve + `"}`,
	} {
		got := w.post(procedure, body, "Authorization", w.bearerOf(access.Admin))
		got.ok(t)
		if got.body["signInReady"] == true || got.body["consistencyToken"] == "" {
			t.Errorf("%s: %s", procedure, got.text)
		}
	}
}

// bodies are good requests of all methods that need a permission.
func bodies() map[string]string {
	all := operationBodies()
	maps.Copy(all, map[string]string{
		createUser: `{"username":"eve","email":"eve@example.com","password":"correct horse"}`,
		getUser:    `{"userId":"` + eve + `"}`,
		listUsers:  `{}`,
		updateUser: `{"userId":"` + eve + `"}`,
		setRoles:   `{"userId":"` + eve + `","roles":["admin"]}`,
		deleteUser: `{"userId":"` + eve + `"}`,
		check:      `{}`,

		listEvents:     `{}`,
		getUserHistory: `{"userId":"` + eve + `"}`,
	})
	return all
}

func TestWhoMayAdminister(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	auditorMay := map[string]bool{getUser: true, listUsers: true, check: true, listProjections: true, listParked: true, listSkipped: true, getParked: true, listEvents: true, getUserHistory: true}
	for procedure, body := range bodies() {
		w.post(procedure, body).refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_UNAUTHENTICATED, "")
		for _, bearer := range []string{w.bearer(nil), w.bearerOf("owner", "Admin", "administrator")} {
			w.post(procedure, body, "Authorization", bearer).refused(t, http.StatusForbidden, musterv1.Reason_REASON_PERMISSION_DENIED, "")
		}
		w.post(procedure, body, "Authorization", w.bearer(func(c *token.SignerConfig, claims *token.Claims) {
			pendingPassword(c, claims)
			claims.Roles = []string{access.Admin}
		})).refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
		if got := w.post(procedure, body, "Authorization", w.bearerOf(access.Auditor)); auditorMay[procedure] {
			got.ok(t)
		} else {
			got.refused(t, http.StatusForbidden, musterv1.Reason_REASON_PERMISSION_DENIED, "")
		}
		w.post(procedure, body, "Authorization", w.bearerOf(access.Admin)).ok(t)
	}
}

func TestBadRequestsOfAdministrators(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const invalid = musterv1.Reason_REASON_INVALID_ARGUMENT
	for name, c := range map[string]struct {
		procedure, body string
		reason          musterv1.Reason
		field           string
	}{
		"no id":                 {getUser, `{"userId":"ada"}`, invalid, "userId"},
		"a short password":      {createUser, `{"username":"eve","email":"eve@example.com","password":"short"}`, invalid, "password"},
		"a role twice":          {setRoles, `{"userId":"` + eve + `","roles":["admin","admin"]}`, invalid, "roles"},
		"a version below 0":     {deleteUser, `{"userId":"` + eve + `","expectedVersion":"-1"}`, invalid, "expectedVersion"},
		"a page of too many":    {listUsers, `{"pageSize":201}`, invalid, "pageSize"},
		"a page of less than 0": {listUsers, `{"pageSize":-1}`, invalid, "pageSize"},
		"no such order":         {listUsers, `{"order":9}`, invalid, "order"},
		"a forged consistency":  {listUsers, `{"consistencyToken":"AQ"}`, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "consistencyToken"},
		"a page token too long": {listUsers, `{"pageToken":"` + strings.Repeat("A", 4097) + `"}`, invalid, "pageToken"},
	} {
		t.Run(name, func(t *testing.T) {
			w.post(c.procedure, c.body, "Authorization", w.bearerOf(access.Admin)).refused(t, http.StatusBadRequest, c.reason, c.field)
		})
	}
	for procedure, body := range bodies() {
		misspelt := `{"usrname":"x"` + strings.Replace(strings.TrimPrefix(body, "{"), "}", "", 1) + `}`
		if body != "{}" {
			misspelt = `{"usrname":"x",` + strings.TrimPrefix(body, "{")
		}
		w.post(procedure, misspelt, "Authorization", w.bearerOf(access.Admin)).
			refused(t, http.StatusBadRequest, musterv1.Reason_REASON_UNKNOWN_FIELD, "usrname")
	}
}

func TestReasonsOfIdentityReachTheAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for r, status := range map[musterv1.Reason]int{
		musterv1.Reason_REASON_NOT_FOUND:      http.StatusNotFound,
		musterv1.Reason_REASON_CONFLICT:       http.StatusConflict,
		musterv1.Reason_REASON_OWN_ACCOUNT:    http.StatusBadRequest,
		musterv1.Reason_REASON_LAST_ADMIN:     http.StatusBadRequest,
		musterv1.Reason_REASON_USERNAME_TAKEN: http.StatusConflict,
	} {
		w.identity.updateUser = fails[identityv1.UpdateUserRequest, identityv1.UpdateUserResponse](reason.New(r))
		w.post(updateUser, `{"userId":"`+eve+`","active":false}`, "Authorization", w.bearerOf(access.Admin)).refused(t, status, r, "")
	}
}

func TestUsersArePagedWithTheirFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	place := &identityv1.UserPlace{Key: "moneypenny", SecondKey: "eve", UserId: eve}
	first := watched(&w.identity.listUsers, &identityv1.ListUsersResponse{
		Profiles: []*identityv1.Profile{{UserId: ada, AvatarId: avatar}, {UserId: eve}}, Next: place,
	})
	const filters = `"username":"e","email":"eve@","active":false,"role":"auditor","order":"USER_ORDER_NAME","descending":true`
	got := w.post(listUsers, `{"pageSize":2,`+filters+`}`, "Authorization", w.bearerOf(access.Admin))
	got.ok(t)
	inactive := false
	want := &identityv1.ListUsersRequest{
		PageSize: 2, Username: "e", Email: "eve@", Active: &inactive, Role: "auditor", Order: identityv1.UserOrder_USER_ORDER_NAME, Descending: true,
	}
	if r := <-first; !proto.Equal(r, want) {
		t.Errorf("identity was asked %v", r)
	}
	users, _ := got.body["users"].([]any)
	if len(users) != 2 || users[0].(map[string]any)["avatarUrl"] != w.base+"/avatars/"+avatar || users[1].(map[string]any)["id"] != eve {
		t.Errorf("got %s", got.text)
	}
	next, _ := got.body["nextPageToken"].(string)
	if next == "" || strings.Contains(got.text, "moneypenny") {
		t.Fatalf("got %s", got.text)
	}

	// The next page may have another size, and is the last.
	second := watched(&w.identity.listUsers, &identityv1.ListUsersResponse{})
	got = w.post(listUsers, `{"pageSize":3,"pageToken":"`+next+`",`+filters+`}`, "Authorization", w.bearerOf(access.Admin))
	got.sameJSON(t, `{"users":[],"nextPageToken":""}`)
	want.PageSize, want.After = 3, place
	if r := <-second; !proto.Equal(r, want) {
		t.Errorf("identity was asked %v", r)
	}
}

func TestAPageHasItsUsualSizeAndOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := watched(&w.identity.listUsers, &identityv1.ListUsersResponse{Next: &identityv1.UserPlace{UserId: eve}})
	got := w.post(listUsers, `{}`, "Authorization", w.bearerOf(access.Admin))
	got.ok(t)
	if r := <-asked; r.GetPageSize() != 50 || r.GetOrder() != identityv1.UserOrder_USER_ORDER_REGISTERED_AT || r.GetAfter() != nil || r.Active != nil {
		t.Errorf("identity was asked %v", r)
	}
	// To write out the usual order does not make another query of it.
	w.post(listUsers, `{"order":"USER_ORDER_REGISTERED_AT","pageToken":"`+got.body["nextPageToken"].(string)+`"}`, "Authorization", w.bearerOf(access.Admin)).ok(t)
}

func TestAPageTokenIsGoodForItsQueryAndCallerAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.listUsers = answers[identityv1.ListUsersRequest](&identityv1.ListUsersResponse{Next: &identityv1.UserPlace{UserId: eve}})
	w.media.listFiles = answers[mediav1.ListFilesRequest](&mediav1.ListFilesResponse{Next: &mediav1.FilePlace{FileId: file}})
	admin := w.bearerOf(access.Admin)
	other := w.bearer(func(_ *token.SignerConfig, c *token.Claims) { c.Subject, c.Roles = eve, []string{access.Admin} })
	got := w.post(listUsers, `{"role":"auditor"}`, "Authorization", admin)
	got.ok(t)
	users, _ := got.body["nextPageToken"].(string)
	got = w.post(listFiles, `{}`, "Authorization", admin)
	got.ok(t)
	files, _ := got.body["nextPageToken"].(string)
	altered := []byte(users)
	altered[20] ^= 'A' ^ 'B'
	w.identity.listUsers = func(context.Context, *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
		t.Error("identity was asked")
		return &identityv1.ListUsersResponse{}, nil
	}
	w.media.listFiles = func(context.Context, *mediav1.ListFilesRequest) (*mediav1.ListFilesResponse, error) {
		t.Error("media was asked")
		return &mediav1.ListFilesResponse{}, nil
	}
	for what, c := range map[string]struct{ procedure, body, bearer string }{
		"of other filters":   {listUsers, `{"pageToken":"` + users + `"}`, admin},
		"of another order":   {listUsers, `{"role":"auditor","descending":true,"pageToken":"` + users + `"}`, admin},
		"of another caller":  {listUsers, `{"role":"auditor","pageToken":"` + users + `"}`, other},
		"of another method":  {listUsers, `{"role":"auditor","pageToken":"` + files + `"}`, admin},
		"of another service": {listFiles, `{"pageToken":"` + users + `"}`, admin},
		"of another scope":   {listFiles, `{"scope":"FILE_SCOPE_SHARED","pageToken":"` + files + `"}`, admin},
		"altered":            {listUsers, `{"role":"auditor","pageToken":"` + string(altered) + `"}`, admin},
		"cut":                {listUsers, `{"role":"auditor","pageToken":"` + users[:len(users)-4] + `"}`, admin},
		"made up":            {listUsers, `{"role":"auditor","pageToken":"2"}`, admin},
	} {
		t.Run(what, func(t *testing.T) {
			w.post(c.procedure, c.body, "Authorization", c.bearer).
				refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PAGE_TOKEN_INVALID, "pageToken")
		})
	}
}

func TestAListWaitsForWhatItHasToShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	admin := w.bearerOf(access.Admin)
	w.identity.await = func(context.Context, *identityv1.AwaitRequest) (*identityv1.AwaitResponse, error) {
		t.Error("a list without a token waited")
		return &identityv1.AwaitResponse{}, nil
	}
	w.post(listUsers, `{}`, "Authorization", admin).ok(t)

	later := &eventlogv1.Position{Log: "identity", Epoch: 1, Stream: "user-" + eve, Version: 9}
	for what, call := range map[string]func() answer{
		"in the body": func() answer {
			return w.post(listUsers, `{"consistencyToken":"`+signed(t, later)+`"}`, "Authorization", admin)
		},
		"in the header": func() answer {
			return w.post(listUsers, `{}`, "Authorization", admin, "Muster-Consistency-Token", signed(t, later))
		},
		"the body's before the header's": func() answer {
			return w.post(listUsers, `{"consistencyToken":"`+signed(t, later)+`"}`, "Authorization", admin, "Muster-Consistency-Token", signed(t, position))
		},
	} {
		awaited := watched(&w.identity.await, &identityv1.AwaitResponse{Applied: true})
		call().ok(t)
		if r := <-awaited; !proto.Equal(r.GetPosition(), later) {
			t.Errorf("%s: waited for %v", what, r.GetPosition())
		}
	}

	w.identity.await = answers[identityv1.AwaitRequest](&identityv1.AwaitResponse{Applied: false})
	w.identity.listUsers = func(context.Context, *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
		t.Error("a list was read that does not show the change")
		return &identityv1.ListUsersResponse{}, nil
	}
	got := w.post(listUsers, `{"consistencyToken":"`+signed(t, later)+`"}`, "Authorization", admin)
	got.refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_NOT_CAUGHT_UP, "")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	w.identity.await = fails[identityv1.AwaitRequest, identityv1.AwaitResponse](reason.New(musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID))
	w.post(listUsers, `{"consistencyToken":"`+signed(t, later)+`"}`, "Authorization", admin).
		refused(t, http.StatusBadRequest, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "")
}
