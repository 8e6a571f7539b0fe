package rpc

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// setRoles is the permission to give roles, which opening an account with roles
// needs besides its own: who may do only the one must not make administrators.
const setRoles = "roles.write"

// CreateUser opens an account for somebody else.
func (i *Identity) CreateUser(ctx context.Context, request *connect.Request[identityv1.CreateUserRequest]) (*connect.Response[identityv1.CreateUserResponse], error) {
	message := request.Msg
	by, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	if principal, _ := access.PrincipalFrom(ctx); len(message.GetRoles()) > 0 && !principal.May(setRoles) {
		return nil, reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, reason.Field("roles"))
	}
	created, err := i.app.Commands.CreateUser.Handle(ctx, app.CreateUser{
		Username:     message.GetUsername(),
		Email:        message.GetEmail(),
		Password:     secret.New(message.GetPassword()),
		FirstName:    message.GetFirstName(),
		LastName:     message.GetLastName(),
		Roles:        message.GetRoles(),
		KeepPassword: message.GetKeepPassword(),
		By:           by,
		Request:      requestOf(ctx, message.GetIdempotencyKey()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.CreateUserResponse{
		Profile:  profileOf(created.Profile),
		Position: positionOf(created.Position),
	}), nil
}

// GetUser tells one account.
func (i *Identity) GetUser(ctx context.Context, request *connect.Request[identityv1.GetUserRequest]) (*connect.Response[identityv1.GetUserResponse], error) {
	profile, err := i.app.Queries.GetUser.Handle(ctx, app.GetUser{UserID: request.Msg.GetUserId()})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.GetUserResponse{Profile: profileOf(profile)}), nil
}

// UpdateUser changes an account.
func (i *Identity) UpdateUser(ctx context.Context, request *connect.Request[identityv1.UpdateUserRequest]) (*connect.Response[identityv1.UpdateUserResponse], error) {
	message := request.Msg
	by, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	command := app.UpdateUser{
		UserID:          message.GetUserId(),
		Username:        message.Username,
		Email:           message.Email,
		FirstName:       message.FirstName,
		LastName:        message.LastName,
		Active:          message.Active,
		ExpectedVersion: message.GetExpectedVersion(),
		By:              by,
		Request:         requestOf(ctx, message.GetIdempotencyKey()),
	}
	if message.Password != nil {
		command.Password = new(secret.New(message.GetPassword()))
	}
	updated, err := i.app.Commands.UpdateUser.Handle(ctx, command)
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.UpdateUserResponse{
		Profile:  profileOf(updated.Profile),
		Position: positionOf(updated.Position),
	}), nil
}

// SetUserRoles replaces the roles of an account.
func (i *Identity) SetUserRoles(ctx context.Context, request *connect.Request[identityv1.SetUserRolesRequest]) (*connect.Response[identityv1.SetUserRolesResponse], error) {
	by, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	updated, err := i.app.Commands.SetUserRoles.Handle(ctx, app.SetUserRoles{
		UserID:          request.Msg.GetUserId(),
		Roles:           request.Msg.GetRoles(),
		ExpectedVersion: request.Msg.GetExpectedVersion(),
		By:              by,
		Request:         requestOf(ctx, request.Msg.GetIdempotencyKey()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.SetUserRolesResponse{
		Profile:  profileOf(updated.Profile),
		Position: positionOf(updated.Position),
	}), nil
}

// DeleteUser erases a person.
func (i *Identity) DeleteUser(ctx context.Context, request *connect.Request[identityv1.DeleteUserRequest]) (*connect.Response[identityv1.DeleteUserResponse], error) {
	by, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	deleted, err := i.app.Commands.DeleteUser.Handle(ctx, app.DeleteUser{
		UserID:          request.Msg.GetUserId(),
		ExpectedVersion: request.Msg.GetExpectedVersion(),
		By:              by,
		Request:         requestOf(ctx, ""),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&identityv1.DeleteUserResponse{
		ErasedAt: timestamppb.New(deleted.ErasedAt),
		Position: positionOf(deleted.Position),
	}), nil
}
