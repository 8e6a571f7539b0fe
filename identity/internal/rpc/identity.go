// Package rpc is identity's Connect edge: it converts, and it maps errors. What
// is allowed was decided before, by the access gate.
package rpc

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/telemetry"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Identity serves IdentityService.
type Identity struct {
	app app.App
}

var _ identityv1connect.IdentityServiceHandler = (*Identity)(nil)

// NewIdentity makes the handler.
func NewIdentity(app app.App) *Identity { return &Identity{app} }

// RegisterUser opens an account.
func (i *Identity) RegisterUser(ctx context.Context, request *connect.Request[identityv1.RegisterUserRequest]) (*connect.Response[identityv1.RegisterUserResponse], error) {
	message := request.Msg
	registered, err := i.app.Commands.Register.Handle(ctx, app.Register{
		Username:  message.GetUsername(),
		Email:     message.GetEmail(),
		Password:  secret.New(message.GetPassword()),
		FirstName: message.GetFirstName(),
		LastName:  message.GetLastName(),
		Request:   requestOf(ctx, message.GetIdempotencyKey()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.RegisterUserResponse{
		UserId:   registered.UserID,
		Position: positionOf(registered.Position),
	}), nil
}

// ChangePassword sets a new password for the caller.
func (i *Identity) ChangePassword(ctx context.Context, request *connect.Request[identityv1.ChangePasswordRequest]) (*connect.Response[identityv1.ChangePasswordResponse], error) {
	userID, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	position, err := i.app.Commands.ChangePassword.Handle(ctx, app.ChangePassword{
		UserID:  userID,
		Present: secret.New(request.Msg.GetPresentPassword()),
		New:     secret.New(request.Msg.GetNewPassword()),
		Request: requestOf(ctx, request.Msg.GetIdempotencyKey()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.ChangePasswordResponse{Position: positionOf(position)}), nil
}

// GetProfile tells the caller's profile.
func (i *Identity) GetProfile(ctx context.Context, _ *connect.Request[identityv1.GetProfileRequest]) (*connect.Response[identityv1.GetProfileResponse], error) {
	userID, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	profile, err := i.app.Queries.GetProfile.Handle(ctx, app.GetProfile{UserID: userID})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.GetProfileResponse{Profile: profileOf(profile)}), nil
}

// UpdateProfile changes the caller's names.
func (i *Identity) UpdateProfile(ctx context.Context, request *connect.Request[identityv1.UpdateProfileRequest]) (*connect.Response[identityv1.UpdateProfileResponse], error) {
	userID, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	updated, err := i.app.Commands.UpdateProfile.Handle(ctx, app.UpdateProfile{
		UserID:    userID,
		FirstName: request.Msg.FirstName,
		LastName:  request.Msg.LastName,
		Request:   requestOf(ctx, request.Msg.GetIdempotencyKey()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.UpdateProfileResponse{
		Profile:  profileOf(updated.Profile),
		Position: positionOf(updated.Position),
	}), nil
}

// signedIn is who calls. The gate lets nobody else through; should it ever, the
// answer is no.
func signedIn(ctx context.Context) (userID string, err error) {
	principal, ok := access.PrincipalFrom(ctx)
	if !ok {
		return "", reason.New(musterv1.Reason_REASON_UNAUTHENTICATED)
	}
	return principal.UserID, nil
}

// requestOf is in which call a command came.
func requestOf(ctx context.Context, idempotencyKey string) app.Request {
	request := telemetry.RequestFrom(ctx)
	return app.Request{
		ID:             request.ID,
		TraceParent:    telemetry.TraceParent(ctx),
		Origin:         &eventstore.Origin{Address: request.ClientAddress, UserAgent: request.UserAgent},
		IdempotencyKey: idempotencyKey,
	}
}

func positionOf(position eventstore.Position) *eventlogv1.Position {
	return &eventlogv1.Position{Log: position.Log, Epoch: position.Epoch, Stream: position.Stream, Version: position.Version}
}

func profileOf(profile app.Profile) *identityv1.Profile {
	return &identityv1.Profile{
		UserId:       profile.ID,
		Username:     profile.Username,
		Email:        profile.Email,
		FirstName:    profile.FirstName,
		LastName:     profile.LastName,
		Roles:        profile.Roles,
		Active:       profile.Active,
		RegisteredAt: timestamppb.New(profile.RegisteredAt),
		UpdatedAt:    timestamppb.New(profile.UpdatedAt),
		Version:      profile.Version,
		AvatarId:     profile.AvatarID,
	}
}
