package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/gateway/internal/page"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// Admin serves AdminService.
type Admin struct {
	Identity    identityv1connect.IdentityServiceClient
	Credentials credentialsv1connect.CredentialsServiceClient
	Tokens      *consistency.Signer
	Pages       *page.Sealer
	Logger      *slog.Logger
	// Timeout bounds one call of another service.
	Timeout time.Duration
}

var _ musterv1connect.AdminServiceHandler = (*Admin)(nil)

// CreateUser opens an account and waits until it can sign in.
func (a *Admin) CreateUser(ctx context.Context, request *connect.Request[musterv1.CreateUserRequest]) (*connect.Response[musterv1.CreateUserResponse], error) {
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	created, err := call(ctx, a.Timeout, a.Identity.CreateUser, &identityv1.CreateUserRequest{
		Username:       request.Msg.GetUsername(),
		Email:          request.Msg.GetEmail(),
		Password:       request.Msg.GetPassword(),
		FirstName:      request.Msg.GetFirstName(),
		LastName:       request.Msg.GetLastName(),
		Roles:          request.Msg.GetRoles(),
		KeepPassword:   request.Msg.GetKeepPassword(),
		IdempotencyKey: key,
	})
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.CreateUserResponse{User: userOf(ctx, created.GetProfile())})
	response.Msg.SignInReady, response.Msg.ConsistencyToken, err = a.known(ctx, response.Header(), created.GetPosition())
	return answered(response, err)
}

// GetUser tells one account, in its newest state.
func (a *Admin) GetUser(ctx context.Context, request *connect.Request[musterv1.GetUserRequest]) (*connect.Response[musterv1.GetUserResponse], error) {
	got, err := call(ctx, a.Timeout, a.Identity.GetUser, &identityv1.GetUserRequest{UserId: request.Msg.GetUserId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.GetUserResponse{User: userOf(ctx, got.GetProfile())}), nil
}

// ListUsers tells a page of accounts. A consistency token in the body goes
// before one in the header; the page is read once it is applied.
func (a *Admin) ListUsers(ctx context.Context, request *connect.Request[musterv1.ListUsersRequest]) (*connect.Response[musterv1.ListUsersResponse], error) {
	after, err := positionOf(a.Tokens, request.Msg.GetConsistencyToken(), request.Header())
	if err != nil {
		return nil, err
	}
	filters := &identityv1.ListUsersRequest{
		Username:   request.Msg.GetUsername(),
		Email:      request.Msg.GetEmail(),
		Active:     request.Msg.Active,
		Role:       request.Msg.GetRole(),
		Order:      orderOf(request.Msg.GetOrder()),
		Descending: request.Msg.GetDescending(),
	}
	query := queryOf(ctx, request.Spec().Procedure, filters)
	place := &identityv1.UserPlace{}
	further, err := placeOf(a.Pages, query, request.Msg.GetPageToken(), place)
	if err != nil {
		return nil, err
	}
	if err := caughtUp(ctx, a.Identity, after); err != nil {
		return nil, err
	}
	wanted := proto.CloneOf(filters)
	wanted.PageSize = pageSize(request.Msg.GetPageSize())
	if further {
		wanted.After = place
	}
	listed, err := call(ctx, a.Timeout, a.Identity.ListUsers, wanted)
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.ListUsersResponse{Users: make([]*musterv1.User, 0, len(listed.GetProfiles()))})
	for _, profile := range listed.GetProfiles() {
		response.Msg.Users = append(response.Msg.Users, userOf(ctx, profile))
	}
	if next := listed.GetNext(); next != nil {
		response.Msg.NextPageToken, err = a.Pages.Seal(query, next)
	}
	return answered(response, err)
}

// UpdateUser changes an account and waits until sign-in knows of it.
func (a *Admin) UpdateUser(ctx context.Context, request *connect.Request[musterv1.UpdateUserRequest]) (*connect.Response[musterv1.UpdateUserResponse], error) {
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	updated, err := call(ctx, a.Timeout, a.Identity.UpdateUser, &identityv1.UpdateUserRequest{
		UserId:          request.Msg.GetUserId(),
		Username:        request.Msg.Username,
		Email:           request.Msg.Email,
		Password:        request.Msg.Password,
		Active:          request.Msg.Active,
		FirstName:       request.Msg.FirstName,
		LastName:        request.Msg.LastName,
		ExpectedVersion: request.Msg.GetExpectedVersion(),
		IdempotencyKey:  key,
	})
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.UpdateUserResponse{User: userOf(ctx, updated.GetProfile())})
	response.Msg.SignInReady, response.Msg.ConsistencyToken, err = a.known(ctx, response.Header(), updated.GetPosition())
	return answered(response, err)
}

// SetUserRoles replaces the roles of an account and waits until the next
// sign-in gives them.
func (a *Admin) SetUserRoles(ctx context.Context, request *connect.Request[musterv1.SetUserRolesRequest]) (*connect.Response[musterv1.SetUserRolesResponse], error) {
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	set, err := call(ctx, a.Timeout, a.Identity.SetUserRoles, &identityv1.SetUserRolesRequest{
		UserId:          request.Msg.GetUserId(),
		Roles:           request.Msg.GetRoles(),
		ExpectedVersion: request.Msg.GetExpectedVersion(),
		IdempotencyKey:  key,
	})
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.SetUserRolesResponse{User: userOf(ctx, set.GetProfile())})
	response.Msg.SignInReady, response.Msg.ConsistencyToken, err = a.known(ctx, response.Header(), set.GetPosition())
	return answered(response, err)
}

// DeleteUser erases a person. It waits for sign-in too, so that nobody comes in
// any more when it has answered, as a rule.
func (a *Admin) DeleteUser(ctx context.Context, request *connect.Request[musterv1.DeleteUserRequest]) (*connect.Response[musterv1.DeleteUserResponse], error) {
	deleted, err := call(ctx, a.Timeout, a.Identity.DeleteUser, &identityv1.DeleteUserRequest{
		UserId:          request.Msg.GetUserId(),
		ExpectedVersion: request.Msg.GetExpectedVersion(),
	})
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.DeleteUserResponse{ErasedAt: deleted.GetErasedAt()})
	_, response.Msg.ConsistencyToken, err = a.known(ctx, response.Header(), deleted.GetPosition())
	return answered(response, err)
}

// known names a change, in the header too, and waits until sign-in knows of it.
func (a *Admin) known(ctx context.Context, header http.Header, position *eventlogv1.Position) (bool, string, error) {
	token, err := a.Tokens.Sign(position)
	if err != nil {
		return false, "", err
	}
	header.Set(browser.ConsistencyTokenHeader, token)
	return signInReady(ctx, a.Credentials, a.Logger, position), token, nil
}

// answered keeps an answer that was begun from going out beside an error.
func answered[T any](response *connect.Response[T], err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return response, nil
}

// orderOf gives one name to each order, so that a page token does not depend on
// whether the usual order was written out.
func orderOf(order musterv1.UserOrder) identityv1.UserOrder {
	switch order {
	case musterv1.UserOrder_USER_ORDER_USERNAME:
		return identityv1.UserOrder_USER_ORDER_USERNAME
	case musterv1.UserOrder_USER_ORDER_EMAIL:
		return identityv1.UserOrder_USER_ORDER_EMAIL
	case musterv1.UserOrder_USER_ORDER_NAME:
		return identityv1.UserOrder_USER_ORDER_NAME
	default: // the rules of the proto let no other in
		return identityv1.UserOrder_USER_ORDER_REGISTERED_AT
	}
}
