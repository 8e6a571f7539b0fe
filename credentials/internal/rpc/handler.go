// Package rpc is the Connect edge of credentials: requests into commands,
// outcomes into answers, and one map of errors.
package rpc

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/secret"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// Handler serves muster.credentials.v1.CredentialsService.
type Handler struct{ app *app.App }

var _ credentialsv1connect.CredentialsServiceHandler = (*Handler)(nil)

// NewHandler serves what app can do.
func NewHandler(app *app.App) *Handler { return &Handler{app} }

// Login checks a password and opens a session.
func (h *Handler) Login(ctx context.Context, request *connect.Request[credentialsv1.LoginRequest]) (*connect.Response[credentialsv1.LoginResponse], error) {
	cmd := app.Login{Name: request.Msg.GetLogin(), Password: secret.New(request.Msg.GetPassword())}
	if request.Msg.GetAfter() != nil {
		after := position(request.Msg.GetAfter())
		cmd.After = &after
	}
	loggedIn, err := h.app.Login(ctx, cmd)
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.LoginResponse{
		Tokens:                 tokens(loggedIn.Tokens),
		UserId:                 loggedIn.UserID.String(),
		PasswordChangeRequired: loggedIn.PasswordChangeRequired,
	}), nil
}

// Refresh exchanges a refresh token for a new pair.
func (h *Handler) Refresh(ctx context.Context, request *connect.Request[credentialsv1.RefreshRequest]) (*connect.Response[credentialsv1.RefreshResponse], error) {
	pair, err := h.app.Refresh(ctx, app.Refresh{Token: secret.New(request.Msg.GetRefreshToken())})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.RefreshResponse{Tokens: tokens(pair)}), nil
}

// Logout ends the session of a refresh token.
func (h *Handler) Logout(ctx context.Context, request *connect.Request[credentialsv1.LogoutRequest]) (*connect.Response[credentialsv1.LogoutResponse], error) {
	if err := h.app.Logout(ctx, app.Logout{Token: secret.New(request.Msg.GetRefreshToken())}); err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.LogoutResponse{}), nil
}

// EndSessions ends all sessions of the caller.
func (h *Handler) EndSessions(ctx context.Context, _ *connect.Request[credentialsv1.EndSessionsRequest]) (*connect.Response[credentialsv1.EndSessionsResponse], error) {
	principal, ok := access.PrincipalFrom(ctx)
	if !ok {
		return nil, refusal(errNoPrincipal)
	}
	userID, err := uuid.Parse(principal.UserID)
	if err != nil {
		return nil, refusal(fmt.Errorf("end sessions: %w", errNoPrincipal))
	}
	ended, err := h.app.EndSessions(ctx, app.EndSessions{UserID: userID})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.EndSessionsResponse{Ended: ended}), nil
}

// AwaitAccess waits until the access projection has applied a position.
func (h *Handler) AwaitAccess(ctx context.Context, request *connect.Request[credentialsv1.AwaitAccessRequest]) (*connect.Response[credentialsv1.AwaitAccessResponse], error) {
	err := h.app.AwaitAccess(ctx, position(request.Msg.GetPosition()))
	if err != nil && !errors.Is(err, app.ErrNotCaughtUp) {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.AwaitAccessResponse{Applied: err == nil}), nil
}

// GetSigningKeys tells the public keys that access tokens are verified with.
func (h *Handler) GetSigningKeys(context.Context, *connect.Request[credentialsv1.GetSigningKeysRequest]) (*connect.Response[credentialsv1.GetSigningKeysResponse], error) {
	jwks, err := h.app.SigningKeys()
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&credentialsv1.GetSigningKeysResponse{Jwks: jwks}), nil
}

func position(of *eventlogv1.Position) eventstore.Position {
	return eventstore.Position{Log: of.GetLog(), Epoch: of.GetEpoch(), Stream: of.GetStream(), Version: of.GetVersion()}
}

func tokens(pair app.Tokens) *credentialsv1.Tokens {
	wire := &credentialsv1.Tokens{
		AccessToken:          pair.Access.Reveal(),
		AccessTokenExpiresAt: timestamppb.New(pair.AccessExpiresAt),
		RefreshToken:         pair.Refresh.Reveal(),
	}
	if !pair.Refresh.Empty() {
		wire.RefreshTokenExpiresAt = timestamppb.New(pair.RefreshExpiresAt)
	}
	return wire
}
