package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/gateway/internal/enumeration"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/telemetry"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// maxRefreshToken is what a body may carry, held for the cookie too.
const maxRefreshToken = 1024

// Auth serves AuthService.
type Auth struct {
	Identity    identityv1connect.IdentityServiceClient
	Credentials credentialsv1connect.CredentialsServiceClient
	Tokens      *consistency.Signer
	Browser     *browser.Policy
	Probing     *enumeration.Limit
	Logger      *slog.Logger
	// Timeout bounds one call of another service.
	Timeout time.Duration
}

var _ musterv1connect.AuthServiceHandler = (*Auth)(nil)

// Register opens an account and waits until it can sign in. Once identity has
// stored the account nothing makes the call fail. An address that has been told
// of many taken names has to wait before it may try again.
func (a *Auth) Register(ctx context.Context, request *connect.Request[musterv1.RegisterRequest]) (*connect.Response[musterv1.RegisterResponse], error) {
	address := telemetry.RequestFrom(ctx).ClientAddress
	if wait := a.Probing.Wait(address); wait > 0 {
		return nil, reason.New(musterv1.Reason_REASON_RATE_LIMITED, reason.RetryAfter(wait))
	}
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	registered, err := call(ctx, a.Timeout, a.Identity.RegisterUser, &identityv1.RegisterUserRequest{
		Username:       request.Msg.GetUsername(),
		Email:          request.Msg.GetEmail(),
		Password:       request.Msg.GetPassword(),
		FirstName:      request.Msg.GetFirstName(),
		LastName:       request.Msg.GetLastName(),
		IdempotencyKey: key,
	})
	if err != nil {
		if tellsOfSomebody(err) {
			a.Probing.Note(address)
		}
		return nil, err
	}
	token, err := a.Tokens.Sign(registered.GetPosition())
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.RegisterResponse{
		UserId:           registered.GetUserId(),
		SignInReady:      signInReady(ctx, a.Credentials, a.Logger, registered.GetPosition()),
		ConsistencyToken: token,
	})
	response.Header().Set(browser.ConsistencyTokenHeader, token)
	return response, nil
}

// Login exchanges a login name and a password for tokens. A consistency token
// in the body goes before one in the header.
func (a *Auth) Login(ctx context.Context, request *connect.Request[musterv1.LoginRequest]) (*connect.Response[musterv1.LoginResponse], error) {
	after, err := positionOf(a.Tokens, request.Msg.GetConsistencyToken(), request.Header())
	if err != nil {
		return nil, err
	}
	inCookie := request.Msg.GetRefreshDelivery() == musterv1.RefreshDelivery_REFRESH_DELIVERY_COOKIE &&
		request.Peer().Protocol != connect.ProtocolGRPC // a gRPC program keeps no cookies
	self := browser.SelfFrom(ctx)
	if inCookie {
		if err := a.mayChangeCookie(request.Header(), self); err != nil {
			return nil, err
		}
	}
	opened, err := call(ctx, a.Timeout, a.Credentials.Login, &credentialsv1.LoginRequest{
		Login:    request.Msg.GetLogin(),
		Password: request.Msg.GetPassword(),
		After:    after,
	})
	if err != nil {
		return nil, err
	}
	tokens := opened.GetTokens()
	response := connect.NewResponse(&musterv1.LoginResponse{
		AccessToken:            tokens.GetAccessToken(),
		AccessTokenExpiresAt:   tokens.GetAccessTokenExpiresAt(),
		RefreshToken:           tokens.GetRefreshToken(),
		RefreshTokenExpiresAt:  tokens.GetRefreshTokenExpiresAt(),
		UserId:                 opened.GetUserId(),
		PasswordChangeRequired: opened.GetPasswordChangeRequired(),
	})
	if inCookie && tokens.GetRefreshToken() != "" {
		setCookie(response.Header(), self, tokens)
		response.Msg.RefreshToken = ""
	}
	return response, nil
}

// RefreshToken exchanges a refresh token for a new pair, which travels as the
// old one did.
func (a *Auth) RefreshToken(ctx context.Context, request *connect.Request[musterv1.RefreshTokenRequest]) (*connect.Response[musterv1.RefreshTokenResponse], error) {
	self := browser.SelfFrom(ctx)
	presented, fromCookie, err := a.presented(request.Header(), request.Msg.GetRefreshToken(), self)
	if err != nil {
		return nil, err
	}
	refreshed, err := call(ctx, a.Timeout, a.Credentials.Refresh, &credentialsv1.RefreshRequest{RefreshToken: presented.Reveal()})
	if err != nil {
		if fromCookie && isSpent(err) {
			clearCookie(ctx, self)
		}
		return nil, err
	}
	tokens := refreshed.GetTokens()
	response := connect.NewResponse(&musterv1.RefreshTokenResponse{
		AccessToken:           tokens.GetAccessToken(),
		AccessTokenExpiresAt:  tokens.GetAccessTokenExpiresAt(),
		RefreshToken:          tokens.GetRefreshToken(),
		RefreshTokenExpiresAt: tokens.GetRefreshTokenExpiresAt(),
	})
	if fromCookie {
		setCookie(response.Header(), self, tokens)
		response.Msg.RefreshToken = ""
	}
	return response, nil
}

// Logout ends a session. The browser forgets its cookie whatever comes of it,
// but not on the word of a page that may not change the cookie: that one ends
// the session whose token it has, and no more.
func (a *Auth) Logout(ctx context.Context, request *connect.Request[musterv1.LogoutRequest]) (*connect.Response[musterv1.LogoutResponse], error) {
	self := browser.SelfFrom(ctx)
	presented, _, err := a.presented(request.Header(), request.Msg.GetRefreshToken(), self)
	if reason.Of(err) != musterv1.Reason_REASON_ORIGIN_NOT_ALLOWED && a.mayChangeCookie(request.Header(), self) == nil {
		clearCookie(ctx, self)
	}
	if err != nil {
		return nil, err
	}
	if _, err := call(ctx, a.Timeout, a.Credentials.Logout, &credentialsv1.LogoutRequest{RefreshToken: presented.Reveal()}); err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.LogoutResponse{}), nil
}

// ChangePassword sets a new password and ends all sessions. They end before
// the projection is waited for, so that a late projection keeps none alive.
func (a *Auth) ChangePassword(ctx context.Context, request *connect.Request[musterv1.ChangePasswordRequest]) (*connect.Response[musterv1.ChangePasswordResponse], error) {
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	changed, err := call(ctx, a.Timeout, a.Identity.ChangePassword, &identityv1.ChangePasswordRequest{
		PresentPassword: request.Msg.GetPresentPassword(),
		NewPassword:     request.Msg.GetNewPassword(),
		IdempotencyKey:  key,
	})
	if err != nil {
		return nil, err
	}
	// The password is changed: from here on nothing may stop the sessions from
	// ending, not even a caller who has gone.
	ctx = context.WithoutCancel(ctx)
	if _, err := call(ctx, a.Timeout, a.Credentials.EndSessions, &credentialsv1.EndSessionsRequest{}); err != nil {
		// They belong to the old password, so the projection ends them too.
		a.Logger.WarnContext(ctx, "sessions end with the projection only", slog.Any("error", err))
	}
	token, err := a.Tokens.Sign(changed.GetPosition())
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.ChangePasswordResponse{
		SignInReady:      signInReady(ctx, a.Credentials, a.Logger, changed.GetPosition()),
		ConsistencyToken: token,
	})
	response.Header().Set(browser.ConsistencyTokenHeader, token)
	browser.ClearRefreshCookie(response.Header(), browser.SelfFrom(ctx))
	return response, nil
}

// positionOf is what an answer has to show, as a token in the body says, or one
// in the header; nil for no wait.
func positionOf(tokens *consistency.Signer, inBody string, header http.Header) (*eventlogv1.Position, error) {
	token := inBody
	if token == "" {
		token = header.Get(browser.ConsistencyTokenHeader)
	}
	position, err := tokens.Parse(token)
	if err != nil {
		return nil, reason.New(musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, reason.Field("consistencyToken"), reason.Cause(err))
	}
	return position, nil
}

// presented finds the refresh token. One in the body goes before the cookie:
// whoever holds it needs nothing from the browser. A cookie counts only from
// an origin that may use it.
func (a *Auth) presented(header http.Header, inBody string, self browser.Origin) (token secret.String, fromCookie bool, err error) {
	if inBody != "" {
		return secret.New(inBody), false, nil
	}
	token = browser.RefreshCookie(header, self)
	if token.Empty() || len(token.Reveal()) > maxRefreshToken {
		return secret.String{}, false, reason.New(musterv1.Reason_REASON_TOKEN_INVALID, reason.Field("refreshToken"))
	}
	if err := a.Browser.Check(header, self); err != nil {
		return secret.String{}, false, err
	}
	return token, true, nil
}

// mayChangeCookie is nil when a page may plant or clear the cookie; a program,
// which has no origin, may.
func (a *Auth) mayChangeCookie(header http.Header, self browser.Origin) error {
	if header.Get("Origin") == "" {
		return nil
	}
	return a.Browser.Check(header, self)
}

// tellsOfSomebody tells of a refusal from which a stranger learns that a name
// or an address has an account.
func tellsOfSomebody(err error) bool {
	switch reason.Of(err) {
	case musterv1.Reason_REASON_USERNAME_TAKEN, musterv1.Reason_REASON_EMAIL_TAKEN:
		return true
	default:
		return false
	}
}

// isSpent tells of a refusal after which a refresh token is good for nothing.
func isSpent(err error) bool {
	switch reason.Of(err) {
	case musterv1.Reason_REASON_SESSION_REVOKED, musterv1.Reason_REASON_REFRESH_TOKEN_REUSED,
		musterv1.Reason_REASON_TOKEN_EXPIRED, musterv1.Reason_REASON_TOKEN_INVALID, musterv1.Reason_REASON_ACCOUNT_INACTIVE:
		return true
	default:
		return false
	}
}

// clearCookie makes the browser forget the cookie, with an error too.
func clearCookie(ctx context.Context, self browser.Origin) {
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		browser.ClearRefreshCookie(info.ResponseHeader(), self)
	}
}

func setCookie(header http.Header, self browser.Origin, tokens *credentialsv1.Tokens) {
	browser.SetRefreshCookie(header, self, secret.New(tokens.GetRefreshToken()), tokens.GetRefreshTokenExpiresAt().AsTime())
}
