package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/view"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/platform/access"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// History tells the view of events what identity knows of accounts.
type History struct {
	app app.App
}

var _ view.Accounts = (*History)(nil)

// NewHistory asks the queries.
func NewHistory(app app.App) *History { return &History{app} }

// Find names the account that has a login name.
func (h *History) Find(ctx context.Context, loginName string) (string, error) {
	userID, err := h.app.Queries.FindUser.Handle(ctx, app.FindUser{LoginName: loginName})
	if errors.Is(err, app.ErrUserNotFound) {
		return "", view.ErrNoAccount
	}
	return userID, err
}

// At tells an account as it stood.
func (h *History) At(ctx context.Context, userID string, at time.Time) (view.Account, error) {
	history, err := h.app.Queries.GetHistory.Handle(ctx, app.GetHistory{UserID: userID, At: at})
	var early *app.NotYetError
	switch {
	case errors.As(err, &early):
		return view.Account{}, &view.NotYetError{First: early.First}
	case errors.Is(err, app.ErrUserNotFound):
		return view.Account{}, view.ErrNoAccount
	case err != nil:
		return view.Account{}, err
	}
	account := view.Account{Stream: history.Stream, Version: history.Version, Epoch: history.Epoch, Erased: history.Erased}
	if !history.Unreadable {
		account.User = userOf(history.Profile)
	}
	return account, nil
}

func userOf(profile app.Profile) *musterv1.User {
	return &musterv1.User{
		Id:           profile.ID,
		Username:     profile.Username,
		Email:        profile.Email,
		FirstName:    profile.FirstName,
		LastName:     profile.LastName,
		Roles:        profile.Roles,
		Active:       profile.Active,
		RegisteredAt: timestamppb.New(profile.RegisteredAt),
		UpdatedAt:    timestamppb.New(profile.UpdatedAt),
		Version:      profile.Version,
	}
}

// Caller tells the view who asks, with what is recorded of it.
func Caller(ctx context.Context) view.Caller {
	request := requestOf(ctx, "")
	return view.Caller{
		Metadata:  eventstore.Metadata{Actor: access.Actor(ctx), RequestID: request.ID, TraceParent: request.TraceParent},
		Origin:    request.Origin,
		Sensitive: access.Granted(ctx, view.Permission),
	}
}
