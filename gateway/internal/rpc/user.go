package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/gateway/internal/consistency"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// User serves UserService.
type User struct {
	Identity identityv1connect.IdentityServiceClient
	Tokens   *consistency.Signer
	// Timeout bounds one call of identity.
	Timeout time.Duration
}

var _ musterv1connect.UserServiceHandler = (*User)(nil)

// GetMe tells who is signed in.
func (u *User) GetMe(ctx context.Context, _ *connect.Request[musterv1.GetMeRequest]) (*connect.Response[musterv1.GetMeResponse], error) {
	got, err := call(ctx, u.Timeout, u.Identity.GetProfile, &identityv1.GetProfileRequest{})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.GetMeResponse{User: userOf(ctx, got.GetProfile())}), nil
}

// UpdateMe changes the names.
func (u *User) UpdateMe(ctx context.Context, request *connect.Request[musterv1.UpdateMeRequest]) (*connect.Response[musterv1.UpdateMeResponse], error) {
	key, err := idempotencyKey(request.Header())
	if err != nil {
		return nil, err
	}
	updated, err := call(ctx, u.Timeout, u.Identity.UpdateProfile, &identityv1.UpdateProfileRequest{
		FirstName:      request.Msg.FirstName,
		LastName:       request.Msg.LastName,
		IdempotencyKey: key,
	})
	if err != nil {
		return nil, err
	}
	token, err := u.Tokens.Sign(updated.GetPosition())
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.UpdateMeResponse{User: userOf(ctx, updated.GetProfile()), ConsistencyToken: token})
	response.Header().Set(browser.ConsistencyTokenHeader, token)
	return response, nil
}

// userOf shows a profile to whoever asks in ctx.
func userOf(ctx context.Context, profile *identityv1.Profile) *musterv1.User {
	return &musterv1.User{
		Id:           profile.GetUserId(),
		Username:     profile.GetUsername(),
		Email:        profile.GetEmail(),
		FirstName:    profile.GetFirstName(),
		LastName:     profile.GetLastName(),
		Roles:        profile.GetRoles(),
		Active:       profile.GetActive(),
		RegisteredAt: profile.GetRegisteredAt(),
		UpdatedAt:    profile.GetUpdatedAt(),
		AvatarUrl:    avatarURL(ctx, profile.GetAvatarId()),
		Version:      profile.GetVersion(),
	}
}

// avatarURL is where the gateway serves an avatar, under the origin by which the
// caller has reached it; empty for none.
func avatarURL(ctx context.Context, avatarID string) string {
	if avatarID == "" {
		return ""
	}
	return string(browser.SelfFrom(ctx)) + "/avatars/" + avatarID
}
