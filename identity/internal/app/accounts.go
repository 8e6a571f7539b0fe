package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/access"
)

var (
	// ErrUsernameTaken: another account has the username.
	ErrUsernameTaken = errors.New("username is taken")
	// ErrEmailTaken: another account has the email address.
	ErrEmailTaken = errors.New("email address is taken")
	// ErrLastAdmin: nobody else is an active administrator.
	ErrLastAdmin = errors.New("account is the last active administrator")
	// ErrCallerGone: the account of the administrator who calls was erased.
	ErrCallerGone = errors.New("caller has no account any more")
	// ErrCallerDemoted: the roles of the administrator who calls do not grant the
	// command any more.
	ErrCallerDemoted = errors.New("caller's roles do not grant this any more")
)

// Kinds of reservations.
const (
	kindUsername = "username"
	kindEmail    = "email"
	// kindAdmin is held by each active administrator, under the own id, so that the
	// log itself knows who is left when one goes (docs/adr/0011-the-last-administrator.md).
	kindAdmin = "admin"
	// kindFirstAdmin is held by the first administrator's account for ever, so
	// that there is only ever one, whatever becomes of its names.
	kindFirstAdmin = "first_admin"
)

// accounts opens, loads and changes accounts. It keeps their reservations in
// step with their state: names that nobody else has, and who administers.
type accounts struct {
	users        *eventstore.Repository[*user.User]
	log          Log
	reservations Hasher
	newID        func() (uuid.UUID, error)
}

// loaded is an account and where its stream stands.
type loaded = eventstore.Loaded[*user.User]

func (a accounts) reserve(kind, canonical string) eventstore.Reservation {
	return eventstore.Reservation{Kind: kind, Hash: a.reservations.Sum(kind, canonical), KeyID: a.reservations.KeyID()}
}

// free asks whether names are free, which costs far less than the password's
// hash. Only the append decides. Errors: ErrUsernameTaken, ErrEmailTaken.
func (a accounts) free(ctx context.Context, names []eventstore.Reservation) error {
	taken, err := a.log.Reserved(ctx, names)
	if err != nil {
		return fmt.Errorf("look for reserved names: %w", err)
	}
	switch {
	case slices.Contains(taken, kindUsername):
		return ErrUsernameTaken
	case slices.Contains(taken, kindEmail):
		return ErrEmailTaken
	}
	return nil
}

// decided puts what an account takes and gives back beside what was decided on it.
func (a accounts) decided(on *user.User, messages []proto.Message) eventstore.Change {
	change := eventstore.Change{Messages: messages}
	before, after := on.Profile(), on.After(messages)
	for _, held := range []struct{ kind, before, after string }{
		{kindUsername, before.Username, after.Username},
		{kindEmail, before.Email, after.Email},
		{kindAdmin, administrator(before), administrator(after)},
	} {
		if held.before == held.after {
			continue
		}
		if held.before != "" {
			change.Release = append(change.Release, held.kind)
		}
		if held.after != "" {
			change.Reserve = append(change.Reserve, a.reserve(held.kind, held.after))
		}
	}
	if slices.Contains(change.Release, kindAdmin) {
		change.Keep = []string{kindAdmin}
	}
	return change
}

// administrator is the name that an active administrator holds.
func administrator(profile user.Profile) string {
	if !profile.Administers() {
		return ""
	}
	return profile.ID
}

// opening is what opens an account.
func (a accounts) opening(account user.Registration) eventstore.Change {
	return a.decided(user.New(), user.Register(account))
}

// open appends the first events of an account and takes its names, and more
// names where there are. Errors: ErrUsernameTaken, ErrEmailTaken.
func (a accounts) open(ctx context.Context, account user.Registration, of eventstore.Context, more ...eventstore.Reservation) (eventstore.Appended, error) {
	change := a.opening(account)
	change.Reserve = append(change.Reserve, more...)
	appended, err := a.users.Create(ctx, user.Stream(account.ID), change, of)
	return appended, refused(err)
}

// load folds an account. One that was erased is not there, although for a moment
// its events can still be opened. Errors: ErrUserNotFound.
func (a accounts) load(ctx context.Context, userID string) (loaded, error) {
	account, err := a.users.Load(ctx, user.Stream(userID), 0)
	if err == nil && account.State.Erased() {
		err = user.ErrErased
	}
	if err != nil {
		return loaded{}, notFound(err)
	}
	return account, nil
}

// loadAt folds an account as it was at a version, or as it is where that is 0;
// not one that was erased since. Errors: ErrUserNotFound.
func (a accounts) loadAt(ctx context.Context, userID string, version int64) (loaded, error) {
	account, err := a.load(ctx, userID)
	if err != nil || version == 0 || account.Version == version {
		return account, err
	}
	return a.users.Load(ctx, user.Stream(userID), version)
}

// decide is a rule of an account.
type decide func(loaded) ([]proto.Message, error)

// change appends what a rule decides on an account at the expected version, 0
// for any. Errors: ErrUserNotFound, eventstore.ErrWrongVersion, ErrUsernameTaken,
// ErrEmailTaken, ErrLastAdmin, and the rule's.
func (a accounts) change(ctx context.Context, userID string, expected int64, of eventstore.Context, rule decide) (eventstore.Appended, error) {
	appended, err := a.users.Update(ctx, user.Stream(userID), of, func(at loaded) (eventstore.Change, error) {
		return a.consider(at, expected, rule)
	})
	return appended, refused(err)
}

// foresee tells whether a change would be refused as things are, before it costs
// anything. Only change decides. Errors: those of change, but for ErrLastAdmin.
func (a accounts) foresee(ctx context.Context, userID string, expected int64, rule decide) error {
	at, err := a.load(ctx, userID)
	if err != nil {
		return err
	}
	change, err := a.consider(at, expected, rule)
	if err != nil {
		return notFound(err)
	}
	return a.free(ctx, change.Reserve)
}

func (a accounts) consider(at loaded, expected int64, rule decide) (eventstore.Change, error) {
	if at.State.Erased() {
		return eventstore.Change{}, user.ErrErased
	}
	if expected != 0 && expected != at.Version {
		return eventstore.Change{}, eventstore.ErrWrongVersion
	}
	messages, err := rule(at)
	if err != nil {
		return eventstore.Change{}, err
	}
	return a.decided(at.State, messages), nil
}

// administration is the context of a command that an administrator gives about
// an account: the origin is the administrator's, and sealed under that person's
// key. An access token outlives account and roles by some minutes, in which
// whoever was demoted would give the role back to themselves, so the log is asked
// too whether the permissions are granted. Errors: ErrCallerGone,
// user.ErrInactive, ErrCallerDemoted.
func (a accounts) administration(ctx context.Context, by string, r Request, command *eventstore.Command, permissions ...string) (eventstore.Context, error) {
	admin, err := a.load(ctx, by)
	if errors.Is(err, ErrUserNotFound) {
		return eventstore.Context{}, ErrCallerGone
	}
	if err != nil {
		return eventstore.Context{}, err
	}
	profile := admin.State.Profile()
	if !profile.Active {
		return eventstore.Context{}, user.ErrInactive
	}
	present := access.Principal{UserID: by, Roles: profile.Roles}
	for _, permission := range permissions {
		if !present.May(permission) {
			return eventstore.Context{}, ErrCallerDemoted
		}
	}
	of := r.by(by, command)
	of.ActorKey = admin.SubjectKey
	return of, nil
}

// refused says in the words of this package why the log refused an append.
func refused(err error) error {
	if taken := (*eventstore.ReservedError)(nil); errors.As(err, &taken) {
		switch taken.Kind {
		case kindUsername:
			return ErrUsernameTaken
		case kindEmail:
			return ErrEmailTaken
		}
	}
	if last := (*eventstore.LastHolderError)(nil); errors.As(err, &last) && last.Kind == kindAdmin {
		return ErrLastAdmin
	}
	return notFound(err)
}

// notFound says in the words of this package that there is no account, or none any more.
func notFound(err error) error {
	if errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, user.ErrErased) {
		return fmt.Errorf("%w: %w", ErrUserNotFound, err)
	}
	return err
}
