package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/gateway/internal/rpc"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestLoginDeliversTheRefreshTokenWhereItIsWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)

	got := w.post(login, adaLogin)
	got.ok(t)
	if got.body["refreshToken"] != "refresh-1" || got.body["accessToken"] != "access" || got.cookie() != nil {
		t.Errorf("body: %s, cookie %v", got.text, got.cookie())
	}

	got = w.post(login, `{"login":"ada","password":"correct horse","refreshDelivery":"REFRESH_DELIVERY_COOKIE"}`)
	got.ok(t)
	if got.body["refreshToken"] != "" || strings.Contains(got.text, "refresh-1") {
		t.Errorf("the cookie's token is in the body too: %s", got.text)
	}
	cookie := got.cookie()
	if cookie == nil {
		t.Fatal("no cookie")
	}
	if cookie.Name != "muster_refresh" || cookie.Value != "refresh-1" || cookie.Path != "/muster.v1.AuthService/" ||
		!cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Domain != "" || cookie.Expires.IsZero() {
		t.Errorf("cookie %v", cookie)
	}
}

func TestUnderTLSTheCookieIsBoundToTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) {
		c.TLSCertificate = filepath.Join(c.Certificates, "gateway.pem")
		c.TLSKey = filepath.Join(c.Certificates, "gateway.key")
	})
	got := w.post(login, `{"login":"ada","password":"correct horse","refreshDelivery":"REFRESH_DELIVERY_COOKIE"}`, "Origin", w.base)
	got.ok(t)
	cookie := got.cookie()
	if cookie == nil || cookie.Name != "__Host-muster_refresh" || cookie.Path != "/" || !cookie.Secure || !cookie.HttpOnly ||
		cookie.Domain != "" || cookie.SameSite != http.SameSiteStrictMode {
		t.Fatalf("cookie %v", cookie)
	}
	w.post(refresh, `{}`, "Cookie", "__Host-muster_refresh=refresh-1", "Origin", w.base).ok(t)
	w.post(refresh, `{}`, "Cookie", "muster_refresh=planted", "Origin", w.base).
		refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_TOKEN_INVALID, "refreshToken")
	w.post(refresh, `{}`, "Cookie", "__Host-muster_refresh=refresh-1", "Origin", strings.Replace(w.base, "https", "http", 1)).
		refused(t, http.StatusForbidden, musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED, "")
}

func TestAForeignPageIsGivenNoCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.credentials.login = func(context.Context, *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
		t.Error("the password was tried")
		return nil, errors.New("unused")
	}
	got := w.post(login, `{"login":"ada","password":"x","refreshDelivery":"REFRESH_DELIVERY_COOKIE"}`, "Origin", "https://evil.example.net")
	got.refused(t, http.StatusForbidden, musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED, "")
	if got.cookie() != nil {
		t.Errorf("cookie %v", got.cookie())
	}
}

func TestALoginWithPendingPasswordSetsNoCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.credentials.login = func(context.Context, *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
		return &credentialsv1.LoginResponse{Tokens: &credentialsv1.Tokens{AccessToken: "access"}, UserId: ada, PasswordChangeRequired: true}, nil
	}
	got := w.post(login, `{"login":"ada","password":"x","refreshDelivery":"REFRESH_DELIVERY_COOKIE"}`)
	got.ok(t)
	if got.cookie() != nil || got.body["passwordChangeRequired"] != true {
		t.Errorf("cookie %v, %s", got.cookie(), got.text)
	}
}

func TestLoginWaitsForTheConsistencyToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := make(chan *credentialsv1.LoginRequest, 1)
	w.credentials.login = func(_ context.Context, r *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
		asked <- r
		return &credentialsv1.LoginResponse{Tokens: someTokens("refresh-1")}, nil
	}
	token := w.post(register, adaRegister).header.Get("Muster-Consistency-Token")

	w.post(login, `{"login":"ada","password":"x","consistencyToken":"`+token+`"}`).ok(t)
	if r := <-asked; !proto.Equal(r.GetAfter(), position) {
		t.Errorf("in the body: after %v", r.GetAfter())
	}
	w.post(login, adaLogin, "Muster-Consistency-Token", token).ok(t)
	if r := <-asked; !proto.Equal(r.GetAfter(), position) {
		t.Errorf("in the header: after %v", r.GetAfter())
	}
	w.post(login, adaLogin).ok(t)
	if r := <-asked; r.GetAfter() != nil {
		t.Errorf("without: after %v", r.GetAfter())
	}
	for _, forged := range []string{"x", token + "x", token[:len(token)-1]} {
		w.post(login, `{"login":"ada","password":"x","consistencyToken":"`+forged+`"}`).
			refused(t, http.StatusBadRequest, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "consistencyToken")
		w.post(login, adaLogin, "Muster-Consistency-Token", forged).
			refused(t, http.StatusBadRequest, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "consistencyToken")
	}
}

func TestRefreshAnswersTheWayItWasAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := make(chan string, 1)
	w.credentials.refresh = func(_ context.Context, r *credentialsv1.RefreshRequest) (*credentialsv1.RefreshResponse, error) {
		asked <- r.GetRefreshToken()
		return &credentialsv1.RefreshResponse{Tokens: someTokens("refresh-2")}, nil
	}
	got := w.post(refresh, `{"refreshToken":"in-body"}`)
	got.ok(t)
	if <-asked != "in-body" || got.body["refreshToken"] != "refresh-2" || got.cookie() != nil {
		t.Errorf("body: %s, cookie %v", got.text, got.cookie())
	}
	got = w.post(refresh, `{}`, "Cookie", "muster_refresh=in-cookie", "Origin", w.base)
	got.ok(t)
	if <-asked != "in-cookie" || got.body["refreshToken"] != "" || got.cookie() == nil || got.cookie().Value != "refresh-2" {
		t.Errorf("cookie: %s, cookie %v", got.text, got.cookie())
	}
	// Whoever holds a token needs nothing from the browser, not even its origin.
	got = w.post(refresh, `{"refreshToken":"in-body"}`, "Cookie", "muster_refresh=in-cookie")
	got.ok(t)
	if <-asked != "in-body" || got.body["refreshToken"] != "refresh-2" || got.cookie() != nil {
		t.Errorf("both: %s, cookie %v", got.text, got.cookie())
	}
}

func TestNoRefreshTokenAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, headers := range [][]string{
		nil,
		{"Cookie", "other=1"},
		{"Cookie", "muster_refresh="},
		{"Cookie", "muster_refresh=" + strings.Repeat("a", 1025), "Origin", w.base},
	} {
		w.post(refresh, `{}`, headers...).refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_TOKEN_INVALID, "refreshToken")
		w.post(logout, `{}`, headers...).refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_TOKEN_INVALID, "refreshToken")
	}
}

func TestTheCookieCountsOnlyFromAnAllowedOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		headers []string
		ok      bool
	}{
		"own":                 {[]string{"Origin", w.base}, true},
		"own, same origin":    {[]string{"Origin", w.base, "Sec-Fetch-Site", "same-origin"}, true},
		"own, contradicted":   {[]string{"Origin", w.base, "Sec-Fetch-Site", "cross-site"}, false},
		"allowed":             {[]string{"Origin", allowed, "Sec-Fetch-Site", "cross-site"}, true},
		"foreign":             {[]string{"Origin", "https://evil.example.net"}, false},
		"null":                {[]string{"Origin", "null"}, false},
		"absent":              {nil, false},
		"another host name":   {[]string{"Origin", strings.Replace(w.base, "127.0.0.1", "localhost", 1)}, false},
		"forwarded, no proxy": {[]string{"Origin", "https://id.example.com", "X-Forwarded-Host", "id.example.com", "X-Forwarded-Proto", "https"}, false},
	} {
		for _, procedure := range []string{refresh, logout} {
			got := w.post(procedure, `{}`, slices.Concat([]string{"Cookie", "muster_refresh=refresh-1"}, c.headers)...)
			if c.ok {
				if got.status != http.StatusOK {
					t.Errorf("%s, %s: %d %s", name, procedure, got.status, got.text)
				}
				continue
			}
			got.refused(t, http.StatusForbidden, musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED, "")
			if got.cookie() != nil {
				t.Errorf("%s, %s: a foreign page changed the cookie", name, procedure)
			}
		}
	}
}

func TestLogoutMakesTheBrowserForgetTheCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	fail := errors.New("")
	for name, c := range map[string]struct {
		err     error
		body    string
		headers []string
		status  int
	}{
		"cookie":              {nil, `{}`, []string{"Cookie", "muster_refresh=refresh-1", "Origin", w.base}, http.StatusOK},
		"body":                {nil, `{"refreshToken":"refresh-1"}`, nil, http.StatusOK},
		"nothing to end":      {nil, `{}`, nil, http.StatusUnauthorized},
		"token not valid":     {reason.New(musterv1.Reason_REASON_TOKEN_INVALID), `{"refreshToken":"x"}`, nil, http.StatusUnauthorized},
		"credentials in ruin": {fail, `{"refreshToken":"x"}`, nil, http.StatusInternalServerError},
	} {
		w.credentials.logout = func(context.Context, *credentialsv1.LogoutRequest) (*credentialsv1.LogoutResponse, error) {
			return &credentialsv1.LogoutResponse{}, c.err
		}
		got := w.post(logout, c.body, c.headers...)
		if got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
		if cookie := got.cookie(); cookie == nil || cookie.MaxAge >= 0 || cookie.Value != "" || cookie.Path != "/muster.v1.AuthService/" {
			t.Errorf("%s: cookie %v", name, cookie)
		}
	}
}

func TestAForeignPageMayEndASessionButNotClearTheCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		body    string
		origin  string
		status  int
		cleared bool
	}{
		"token in the body, foreign": {`{"refreshToken":"refresh-1"}`, "https://evil.example.net", http.StatusOK, false},
		"token in the body, allowed": {`{"refreshToken":"refresh-1"}`, allowed, http.StatusOK, true},
		"token in the body, own":     {`{"refreshToken":"refresh-1"}`, w.base, http.StatusOK, true},
		"no token, foreign":          {`{}`, "https://evil.example.net", http.StatusUnauthorized, false},
	} {
		got := w.post(logout, c.body, "Origin", c.origin)
		if got.status != c.status || (got.cookie() != nil) != c.cleared {
			t.Errorf("%s: %d, cookie %v", name, got.status, got.cookie())
		}
	}
}

func TestACookieThatIsGoodForNothingIsCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for r, spent := range map[musterv1.Reason]bool{
		musterv1.Reason_REASON_SESSION_REVOKED:      true,
		musterv1.Reason_REASON_REFRESH_TOKEN_REUSED: true,
		musterv1.Reason_REASON_TOKEN_EXPIRED:        true,
		musterv1.Reason_REASON_TOKEN_INVALID:        true,
		musterv1.Reason_REASON_ACCOUNT_INACTIVE:     true,
		musterv1.Reason_REASON_UNAVAILABLE:          false,
		musterv1.Reason_REASON_OVERLOADED:           false,
	} {
		w.credentials.refresh = func(context.Context, *credentialsv1.RefreshRequest) (*credentialsv1.RefreshResponse, error) {
			return nil, reason.New(r)
		}
		got := w.post(refresh, `{}`, "Cookie", "muster_refresh=refresh-1", "Origin", w.base)
		if detail := got.detail(t); detail.GetReason() != name(r) {
			t.Errorf("%s became %s", name(r), detail.GetReason())
		}
		if cookie := got.cookie(); (cookie != nil && cookie.MaxAge < 0) != spent {
			t.Errorf("%s: cookie %v", name(r), cookie)
		}
		// One in the body says nothing of the cookie.
		if got := w.post(refresh, `{"refreshToken":"x"}`, "Cookie", "muster_refresh=refresh-1", "Origin", w.base); got.cookie() != nil {
			t.Errorf("%s, in the body: cookie %v", name(r), got.cookie())
		}
	}
}

func TestChangePasswordEndsAllSessionsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	steps := make(chan string, 3)
	w.identity.changePassword = func(ctx context.Context, r *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error) {
		steps <- "change for " + caller(ctx) + " with " + r.GetIdempotencyKey()
		return &identityv1.ChangePasswordResponse{Position: position}, nil
	}
	w.credentials.endSessions = func(ctx context.Context, _ *credentialsv1.EndSessionsRequest) (*credentialsv1.EndSessionsResponse, error) {
		steps <- "end for " + caller(ctx)
		return &credentialsv1.EndSessionsResponse{Ended: 2}, nil
	}
	w.credentials.await = func(context.Context, *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error) {
		steps <- "await"
		return &credentialsv1.AwaitAccessResponse{Applied: true}, nil
	}
	got := w.post(changePass, `{"presentPassword":"correct horse","newPassword":"battery staple"}`,
		"Authorization", w.bearer(nil), "Idempotency-Key", "0123456789abcdef")
	got.ok(t)
	for _, want := range []string{"change for " + ada + " with 0123456789abcdef", "end for " + ada, "await"} {
		if step := <-steps; step != want {
			t.Errorf("%q came before %q", step, want)
		}
	}
	if got.body["signInReady"] != true || got.header.Get("Muster-Consistency-Token") == "" || got.cookie() == nil || got.cookie().MaxAge >= 0 {
		t.Errorf("got %s, cookie %v", got.text, got.cookie())
	}
}

func TestSessionsEndAlsoWhenTheCallerHasGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens, err := consistency.NewSigner(secret.NewBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	// Called without a network between, so that each call knows at once that the
	// one before it has ended.
	auth := &rpc.Auth{Identity: w.identity, Credentials: w.credentials, Tokens: tokens, Logger: slog.New(slog.DiscardHandler), Timeout: time.Minute}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w.identity.changePassword = func(context.Context, *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error) {
		leave()
		return &identityv1.ChangePasswordResponse{Position: position}, nil
	}
	ended := false
	w.credentials.endSessions = func(ctx context.Context, _ *credentialsv1.EndSessionsRequest) (*credentialsv1.EndSessionsResponse, error) {
		ended = ctx.Err() == nil
		return &credentialsv1.EndSessionsResponse{}, ctx.Err()
	}
	request := connect.NewRequest(&musterv1.ChangePasswordRequest{PresentPassword: "correct horse", NewPassword: "battery staple"})
	if _, err := auth.ChangePassword(ctx, request); err != nil {
		t.Error(err)
	}
	if !ended {
		t.Error("the sessions were left alive")
	}
}

func TestAChangedPasswordIsToldWhateverComesAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	authorization := w.bearer(nil)
	w.post(getMe, `{}`, "Authorization", authorization).ok(t) // the gateway has the keys now
	w.stopCredentials()
	got := w.post(changePass, `{"presentPassword":"correct horse","newPassword":"battery staple"}`, "Authorization", authorization)
	got.ok(t)
	if got.body["signInReady"] != false {
		t.Errorf("got %s", got.text)
	}
}

func TestAPendingPasswordOpensChangePasswordAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	pending := w.bearer(pendingPassword)
	w.post(getMe, `{}`, "Authorization", pending).
		refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
	w.post(changePass, `{"presentPassword":"one-time","newPassword":"battery staple"}`, "Authorization", pending).ok(t)
}
