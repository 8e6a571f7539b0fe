package app

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/loginname"
	"github.com/muster-id/muster/platform/secret"
)

// UpdateUser changes somebody's account: all that is given, or nothing of it.
// Names are as typed; what is nil stays as it is.
type UpdateUser struct {
	UserID              string
	Username, Email     *string
	FirstName, LastName *string
	// Password has to be changed at the next sign-in.
	Password *secret.String
	Active   *bool
	// ExpectedVersion of the account's stream; 0 for any.
	ExpectedVersion int64
	// By is the id of the administrator's account.
	By      string
	Request Request
}

// UpdateUserHandler handles UpdateUser.
type UpdateUserHandler struct {
	accounts  accounts
	profiles  profiles
	passwords Passwords
	once      idempotency
}

// Handle changes the account. Errors: *InvalidFieldError, ErrUserNotFound,
// eventstore.ErrWrongVersion, ErrUsernameTaken, ErrEmailTaken,
// user.ErrOwnAccount, ErrLastAdmin, ErrCallerGone, ErrCallerDemoted,
// user.ErrInactive of the caller, eventstore.ErrCommandReused,
// *password.OverloadedError.
func (h *UpdateUserHandler) Handle(ctx context.Context, u UpdateUser) (Updated, error) {
	updated, err := h.handle(ctx, u)
	if err != nil {
		return Updated{}, fmt.Errorf("update user: %w", err)
	}
	return updated, nil
}

func (h *UpdateUserHandler) handle(ctx context.Context, u UpdateUser) (Updated, error) {
	changes, err := u.changes()
	if err != nil {
		return Updated{}, err
	}
	command := h.once.command(user.Stream(u.By), "UpdateUser", u.Request.IdempotencyKey,
		u.UserID, fingerprint(changes.Username), fingerprint(changes.Email), fingerprint(changes.FirstName), fingerprint(changes.LastName),
		strconv.FormatBool(u.Password != nil), fingerprintOf(changes.Active), strconv.FormatInt(u.ExpectedVersion, 10))
	done, err := h.once.once(ctx, command, func() (eventstore.Appended, error) { return h.change(ctx, u, changes, command) })
	if err != nil {
		return Updated{}, err
	}
	if u.Password != nil {
		if err := samePassword(ctx, h.accounts, h.passwords, done, *u.Password); err != nil {
			return Updated{}, err
		}
	}
	profile, err := h.profiles.at(ctx, u.UserID, done.Position.Version)
	if err != nil {
		return Updated{}, err
	}
	return Updated{Profile: profile, Position: done.Position}, nil
}

func (h *UpdateUserHandler) change(ctx context.Context, u UpdateUser, changes user.Changes, command *eventstore.Command) (eventstore.Appended, error) {
	of, err := h.accounts.administration(ctx, u.By, u.Request, command, writeUsers)
	if err != nil {
		return eventstore.Appended{}, err
	}
	rule := func(at loaded) ([]proto.Message, error) { return at.State.Change(u.By, changes) }
	if u.Password != nil {
		// What will be refused costs no hash.
		if err := h.accounts.foresee(ctx, u.UserID, u.ExpectedVersion, rule); err != nil {
			return eventstore.Appended{}, err
		}
		verifier, err := h.passwords.Hash(ctx, *u.Password)
		if err != nil {
			return eventstore.Appended{}, err
		}
		changes.Verifier = &verifier
	}
	return h.accounts.change(ctx, u.UserID, u.ExpectedVersion, of, rule)
}

// changes brings the names into their canonical form. The verifier is not among
// them: it costs a hash.
func (u UpdateUser) changes() (user.Changes, error) {
	changes := user.Changes{Active: u.Active}
	for _, name := range []struct {
		field string
		typed *string
		rule  func(string) (string, error)
		into  **string
	}{
		{"username", u.Username, loginname.Username, &changes.Username},
		{"email", u.Email, loginname.Email, &changes.Email},
		{"firstName", u.FirstName, loginname.PersonName, &changes.FirstName},
		{"lastName", u.LastName, loginname.PersonName, &changes.LastName},
	} {
		if name.typed == nil {
			continue
		}
		made, err := canonical(name.field, *name.typed, name.rule)
		if err != nil {
			return changes, err
		}
		*name.into = &made
	}
	if u.Password == nil {
		return changes, nil
	}
	return changes, checkPassword("password", *u.Password)
}

// fingerprintOf tells an absent answer from a no.
func fingerprintOf(answer *bool) string {
	if answer == nil {
		return "absent"
	}
	return strconv.FormatBool(*answer)
}
