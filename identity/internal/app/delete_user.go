package app

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
)

// DeleteUser erases a person.
type DeleteUser struct {
	UserID string
	// ExpectedVersion of the account's stream; 0 for any.
	ExpectedVersion int64
	// By is the id of the administrator's account.
	By      string
	Request Request
}

// Deleted is an erasure that was decided.
type Deleted struct {
	// ErasedAt is when.
	ErasedAt time.Time
	// Position of the event that ends the account's stream.
	Position eventstore.Position
}

// DeleteUserHandler handles DeleteUser.
type DeleteUserHandler struct {
	accounts accounts
}

// Handle ends the account's stream and frees its names, in one append. Whatever
// follows from that event destroys the keys that it names, and the rows and
// files of the person. From here on the account is not found, whatever can still
// be opened of it. Errors: ErrUserNotFound, also where it was erased before;
// eventstore.ErrWrongVersion, user.ErrOwnAccount, ErrLastAdmin, ErrCallerGone,
// ErrCallerDemoted, user.ErrInactive of the caller.
func (h *DeleteUserHandler) Handle(ctx context.Context, d DeleteUser) (Deleted, error) {
	deleted, err := h.handle(ctx, d)
	if err != nil {
		return Deleted{}, fmt.Errorf("delete user: %w", err)
	}
	return deleted, nil
}

func (h *DeleteUserHandler) handle(ctx context.Context, d DeleteUser) (Deleted, error) {
	of, err := h.accounts.administration(ctx, d.By, d.Request, nil, deleteUsers)
	if err != nil {
		return Deleted{}, err
	}
	done, err := h.accounts.change(ctx, d.UserID, d.ExpectedVersion, of, func(at loaded) ([]proto.Message, error) {
		return at.State.Erase(d.By, at.KeyIDs)
	})
	if err != nil {
		return Deleted{}, err
	}
	erased, err := h.accounts.users.Load(ctx, user.Stream(d.UserID), done.Position.Version)
	if err != nil {
		return Deleted{}, err
	}
	return Deleted{ErasedAt: erased.LastAt, Position: done.Position}, nil
}
