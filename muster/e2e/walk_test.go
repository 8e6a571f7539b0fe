package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// The walk over JSON: a person registers, signs in, reads and changes the
// profile, refreshes, changes the password and signs out; everything that
// should end, ends.
func TestWalkOverJSON(t *testing.T) {
	s := shared(t)
	ada := somebody("ada-json")

	registered := s.call(t, "AuthService/Register", ada).ok(t)
	if !registered.bool("signInReady") {
		t.Fatalf("not ready to sign in: %s", registered.raw)
	}
	byName := s.call(t, "AuthService/Login", ada.login()).ok(t)
	byEmail := s.call(t, "AuthService/Login", map[string]any{"login": strings.ToUpper(ada.Email), "password": ada.Password}).ok(t)
	if byName.text("userId") != registered.text("userId") || byEmail.text("userId") != registered.text("userId") {
		t.Fatalf("signed in as %q and %q, registered as %q", byName.text("userId"), byEmail.text("userId"), registered.text("userId"))
	}

	me := s.call(t, "UserService/GetMe", map[string]any{}, bearer(byName.text("accessToken"))).ok(t)
	user, _ := me.body["user"].(map[string]any)
	for field, want := range map[string]any{"id": registered.text("userId"), "username": ada.Username, "email": ada.Email, "firstName": ada.FirstName, "lastName": ada.LastName, "active": true} {
		if user[field] != want {
			t.Errorf("%s is %v, want %v", field, user[field], want)
		}
	}
	updated := s.call(t, "UserService/UpdateMe", map[string]any{"lastName": "King"}, bearer(byName.text("accessToken"))).ok(t)
	user, _ = updated.body["user"].(map[string]any)
	if user["lastName"] != "King" || user["firstName"] != ada.FirstName {
		t.Errorf("after the update: %s", updated.raw)
	}

	refreshed := s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": byName.text("refreshToken")}).ok(t)
	if refreshed.text("refreshToken") == byName.text("refreshToken") || refreshed.text("accessToken") == "" {
		t.Fatalf("the refresh token does not rotate: %s", refreshed.raw)
	}
	s.call(t, "AuthService/Logout", map[string]any{"refreshToken": refreshed.text("refreshToken")}).ok(t)
	s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": refreshed.text("refreshToken")}).refused(t, musterv1.Reason_REASON_SESSION_REVOKED, "")

	s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": "not mine at all", "newPassword": "battery staple"}, bearer(byEmail.text("accessToken"))).
		refused(t, musterv1.Reason_REASON_WRONG_PASSWORD, "presentPassword")
	s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": ada.Password, "newPassword": "battery staple"}, bearer(byEmail.text("accessToken"))).ok(t)
	s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": byEmail.text("refreshToken")}).refused(t, musterv1.Reason_REASON_SESSION_REVOKED, "")
	s.call(t, "AuthService/Login", ada.login()).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	s.call(t, "AuthService/Login", map[string]any{"login": ada.Username, "password": "battery staple"}).ok(t)
}

// The same walk through the generated clients, over gRPC and gRPC-web.
func TestWalkOverGRPC(t *testing.T) {
	s := shared(t)
	for name, option := range map[string]connect.ClientOption{"grpc": connect.WithGRPC(), "grpc-web": connect.WithGRPCWeb()} {
		t.Run(name, func(t *testing.T) {
			client := h2c(t)
			auth := musterv1connect.NewAuthServiceClient(client, s.url, option)
			users := musterv1connect.NewUserServiceClient(client, s.url, option)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()

			bob := somebody("bob-" + name)
			registered, err := auth.Register(ctx, connect.NewRequest(&musterv1.RegisterRequest{
				Username: bob.Username, Email: bob.Email, Password: bob.Password, FirstName: bob.FirstName, LastName: bob.LastName,
			}))
			if err != nil {
				t.Fatal(err)
			}
			if !registered.Msg.GetSignInReady() {
				t.Error("not ready to sign in")
			}
			login, err := auth.Login(ctx, connect.NewRequest(&musterv1.LoginRequest{Login: bob.Username, Password: bob.Password}))
			if err != nil {
				t.Fatal(err)
			}
			ask := connect.NewRequest(&musterv1.GetMeRequest{})
			ask.Header().Set("Authorization", "Bearer "+login.Msg.GetAccessToken())
			me, err := users.GetMe(ctx, ask)
			if err != nil {
				t.Fatal(err)
			}
			if me.Msg.GetUser().GetUsername() != bob.Username {
				t.Errorf("signed in as %q", me.Msg.GetUser().GetUsername())
			}
			refreshed, err := auth.RefreshToken(ctx, connect.NewRequest(&musterv1.RefreshTokenRequest{RefreshToken: login.Msg.GetRefreshToken()}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := auth.Logout(ctx, connect.NewRequest(&musterv1.LogoutRequest{RefreshToken: refreshed.Msg.GetRefreshToken()})); err != nil {
				t.Fatal(err)
			}
			if _, err := auth.RefreshToken(ctx, connect.NewRequest(&musterv1.RefreshTokenRequest{RefreshToken: refreshed.Msg.GetRefreshToken()})); connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("refreshed after signing out: %v", err)
			}
		})
	}
}

// Login right after Register succeeds every time, because Register waits for
// the projection.
func TestLoginRightAfterRegisterSucceedsEveryTime(t *testing.T) {
	s := shared(t)
	for i := range 25 {
		p := somebody(fmt.Sprintf("prompt-%d", i))
		if !s.call(t, "AuthService/Register", p).ok(t).bool("signInReady") {
			t.Fatalf("person %d is not ready to sign in", i)
		}
		s.call(t, "AuthService/Login", p.login()).ok(t)
	}
}

// A browser keeps its refresh token in an HttpOnly cookie that only allowed
// origins can use; the body never shows it.
func TestBrowserRefreshesByCookie(t *testing.T) {
	s := shared(t)
	eve := somebody("eve-browser")
	s.call(t, "AuthService/Register", eve).ok(t)
	origin := header{"Origin", s.url}
	login := s.call(t, "AuthService/Login", map[string]any{"login": eve.Username, "password": eve.Password, "refreshDelivery": "REFRESH_DELIVERY_COOKIE"}, origin).ok(t)
	cookie := refreshCookie(t, login)
	if !cookie.HttpOnly || cookie.SameSite == http.SameSiteNoneMode || login.text("refreshToken") != "" {
		t.Fatalf("cookie %v, body %s", cookie, login.raw)
	}
	with := header{"Cookie", cookie.Name + "=" + cookie.Value}
	s.call(t, "AuthService/RefreshToken", map[string]any{}, with, header{"Origin", "https://evil.example"}).refused(t, musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED, "")
	s.call(t, "AuthService/RefreshToken", map[string]any{}, with).refused(t, musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED, "")
	refreshed := s.call(t, "AuthService/RefreshToken", map[string]any{}, with, origin).ok(t)
	if next := refreshCookie(t, refreshed); next.Value == cookie.Value || refreshed.text("refreshToken") != "" {
		t.Errorf("the cookie does not rotate, or the body shows the token: %s", refreshed.raw)
	}
}

func refreshCookie(t *testing.T, of answer) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: of.header}).Cookies()
	if len(cookies) != 1 || !strings.Contains(cookies[0].Name, "muster_refresh") {
		t.Fatalf("cookies: %v", cookies)
	}
	return cookies[0]
}

// The first admin signs in with the password from the file, can do nothing but
// change it, and then is an admin.
func TestFirstAdminHasToChangeThePassword(t *testing.T) {
	s := shared(t)
	admin := s.admin(t)
	me := s.call(t, "UserService/GetMe", map[string]any{}, admin.token).ok(t)
	if !strings.Contains(me.raw, `"admin"`) {
		t.Errorf("no admin: %s", me.raw)
	}
	s.call(t, "AuthService/Login", map[string]any{"login": "admin", "password": s.adminPassword(t)}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
}
