package app

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
)

// SetUserRoles replaces the roles of somebody's account.
type SetUserRoles struct {
	UserID string
	// Roles that the account has from now on, in any order.
	Roles []string
	// ExpectedVersion of the account's stream; 0 for any.
	ExpectedVersion int64
	// By is the id of the administrator's account.
	By      string
	Request Request
}

// SetUserRolesHandler handles SetUserRoles.
type SetUserRolesHandler struct {
	accounts accounts
	profiles profiles
	once     idempotency
}

// Handle replaces the roles. Errors: *InvalidFieldError, ErrUserNotFound,
// eventstore.ErrWrongVersion, user.ErrOwnAccount, ErrLastAdmin, ErrCallerGone,
// ErrCallerDemoted, user.ErrInactive of the caller, eventstore.ErrCommandReused.
func (h *SetUserRolesHandler) Handle(ctx context.Context, s SetUserRoles) (Updated, error) {
	updated, err := h.handle(ctx, s)
	if err != nil {
		return Updated{}, fmt.Errorf("set user roles: %w", err)
	}
	return updated, nil
}

func (h *SetUserRolesHandler) handle(ctx context.Context, s SetUserRoles) (Updated, error) {
	roles, err := knownRoles(s.Roles)
	if err != nil {
		return Updated{}, err
	}
	fields := append([]string{s.UserID, strconv.FormatInt(s.ExpectedVersion, 10)}, roles...)
	command := h.once.command(user.Stream(s.By), "SetUserRoles", s.Request.IdempotencyKey, fields...)
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) {
		of, err := h.accounts.administration(ctx, s.By, s.Request, command, writeRoles)
		if err != nil {
			return eventstore.Appended{}, err
		}
		return h.accounts.change(ctx, s.UserID, s.ExpectedVersion, of, func(at loaded) ([]proto.Message, error) {
			return at.State.SetRoles(s.By, roles)
		})
	})
	if err != nil {
		return Updated{}, err
	}
	profile, err := h.profiles.at(ctx, s.UserID, done.Position.Version)
	if err != nil {
		return Updated{}, err
	}
	return Updated{Profile: profile, Position: done.Position}, nil
}
