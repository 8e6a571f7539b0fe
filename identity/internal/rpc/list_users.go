package rpc

import (
	"context"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/reason"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// ListUsers tells a page of accounts.
func (i *Identity) ListUsers(ctx context.Context, request *connect.Request[identityv1.ListUsersRequest]) (*connect.Response[identityv1.ListUsersResponse], error) {
	message := request.Msg
	order, err := orderOf(message.GetOrder())
	if err != nil {
		return nil, err
	}
	after, err := afterOf(message.GetAfter(), order)
	if err != nil {
		return nil, err
	}
	listed, err := i.app.Queries.ListUsers.Handle(ctx, app.ListUsers{Query: users.Query{
		Username:   message.GetUsername(),
		Email:      message.GetEmail(),
		Active:     message.Active,
		Role:       message.GetRole(),
		Order:      order,
		Descending: message.GetDescending(),
		After:      after,
		Limit:      int(message.GetPageSize()),
	}})
	if err != nil {
		return nil, refusal(err)
	}
	response := &identityv1.ListUsersResponse{Profiles: make([]*identityv1.Profile, len(listed.Users))}
	for n, account := range listed.Users {
		response.Profiles[n] = listedOf(account)
	}
	if listed.Next != nil {
		response.Next = placeOf(*listed.Next)
	}
	return connect.NewResponse(response), nil
}

func orderOf(order identityv1.UserOrder) (users.Order, error) {
	switch order {
	case identityv1.UserOrder_USER_ORDER_UNSPECIFIED, identityv1.UserOrder_USER_ORDER_REGISTERED_AT:
		return users.ByRegistration, nil
	case identityv1.UserOrder_USER_ORDER_USERNAME:
		return users.ByUsername, nil
	case identityv1.UserOrder_USER_ORDER_EMAIL:
		return users.ByEmail, nil
	case identityv1.UserOrder_USER_ORDER_NAME:
		return users.ByName, nil
	}
	return 0, invalid("order", "There is no such order")
}

// afterOf refuses a place that lacks what the order needs: the list would
// silently begin somewhere else.
func afterOf(place *identityv1.UserPlace, order users.Order) (*users.Place, error) {
	if place == nil {
		return nil, nil //nolint:nilnil // the first page
	}
	id, err := uuid.Parse(place.GetUserId())
	if err != nil {
		return nil, invalid("after.userId", "The place names no account")
	}
	if order == users.ByRegistration && !place.GetRegisteredAt().IsValid() {
		return nil, invalid("after.registeredAt", "The place does not say when its account was opened")
	}
	after := users.Place{Key: place.GetKey(), SecondKey: place.GetSecondKey(), ID: id}
	if order == users.ByRegistration {
		after.RegisteredAt = place.GetRegisteredAt().AsTime()
	}
	return &after, nil
}

func invalid(field, problem string) error {
	return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field(field), reason.Message(problem))
}

func placeOf(place users.Place) *identityv1.UserPlace {
	wire := &identityv1.UserPlace{Key: place.Key, SecondKey: place.SecondKey, UserId: place.ID.String()}
	if !place.RegisteredAt.IsZero() {
		wire.RegisteredAt = timestamppb.New(place.RegisteredAt)
	}
	return wire
}

func listedOf(user users.User) *identityv1.Profile {
	return &identityv1.Profile{
		UserId:       user.ID.String(),
		Username:     user.Username,
		Email:        user.Email,
		FirstName:    user.FirstName,
		LastName:     user.LastName,
		Roles:        user.Roles,
		Active:       user.Active,
		RegisteredAt: timestamppb.New(user.RegisteredAt),
		UpdatedAt:    timestamppb.New(user.UpdatedAt),
		Version:      user.Version,
		AvatarId:     user.AvatarID,
	}
}
