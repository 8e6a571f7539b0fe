package user

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

var (
	// ErrInactive: the account is deactivated.
	ErrInactive = errors.New("account is deactivated")
	// ErrPasswordChanged: the password is not the one that was checked any more.
	ErrPasswordChanged = errors.New("password was changed meanwhile")
)

// StreamPrefix is in front of the account's id in the name of its stream.
const StreamPrefix = "user-"

// Stream names the stream of an account.
func Stream(id string) string { return StreamPrefix + id }

// User is the state of one account, folded from its stream.
type User struct {
	profile  Profile
	password Password
}

// Profile is what the account shows of a person.
type Profile struct {
	ID        string
	Username  string
	Email     string
	FirstName string
	LastName  string
	Roles     []string
	// Active is false while the account is deactivated.
	Active bool
}

// Password is what a password is checked against.
type Password struct {
	// Verifier is a PHC string.
	Verifier secret.String
	// Version of the stream at which it was set.
	Version int64
}

var _ eventstore.Aggregate = (*User)(nil)

// New is an account without events.
func New() *User { return &User{} }

// Profile tells what the account shows of the person.
func (u *User) Profile() Profile {
	profile := u.profile
	profile.Roles = slices.Clone(u.profile.Roles)
	return profile
}

// Password tells what the present password is checked against.
func (u *User) Password() Password { return u.password }

// Apply folds one event in.
func (u *User) Apply(event eventstore.Opened) {
	switch e := event.Message.(type) {
	case *eventsv1.UserRegistered:
		u.profile = Profile{
			ID:        e.GetUserId(),
			Username:  e.GetUsername(),
			Email:     e.GetEmail(),
			FirstName: e.GetFirstName(),
			LastName:  e.GetLastName(),
			Roles:     e.GetRoles(),
			Active:    true,
		}
	case *eventsv1.PasswordSet:
		u.password = Password{Verifier: secret.New(e.GetVerifier()), Version: event.Version}
	case *eventsv1.ProfileUpdated:
		u.profile.FirstName, u.profile.LastName = e.GetFirstName(), e.GetLastName()
	case *eventsv1.UserDeactivated:
		u.profile.Active = false
	case *eventsv1.UserReactivated:
		u.profile.Active = true
	}
}

// Registration is all that opens an account.
type Registration struct {
	ID        string
	Username  string
	Email     string
	FirstName string
	LastName  string
	Roles     []string
	Verifier  secret.String
	// MustChange: the password has to be changed at the first sign-in.
	MustChange bool
}

// Register opens an account. The password is an event of its own, since it is
// sealed under a key of its own.
func Register(r Registration) []proto.Message {
	return []proto.Message{
		&eventsv1.UserRegistered{
			UserId:    r.ID,
			Username:  r.Username,
			Email:     r.Email,
			FirstName: r.FirstName,
			LastName:  r.LastName,
			Roles:     r.Roles,
		},
		&eventsv1.PasswordSet{UserId: r.ID, Verifier: r.Verifier.Reveal(), MustChange: r.MustChange},
	}
}

// ChangePassword sets a new password, if the one that was checked is still the
// present one. Errors: ErrInactive, ErrPasswordChanged.
func (u *User) ChangePassword(checked Password, verifier secret.String) ([]proto.Message, error) {
	if !u.profile.Active {
		return nil, ErrInactive
	}
	if u.password.Version != checked.Version {
		return nil, ErrPasswordChanged
	}
	return []proto.Message{&eventsv1.PasswordSet{UserId: u.profile.ID, Verifier: verifier.Reveal()}}, nil
}

// UpdateProfile changes names; nil leaves one as it is. What changes nothing
// decides nothing. Errors: ErrInactive.
func (u *User) UpdateProfile(firstName, lastName *string) ([]proto.Message, error) {
	if !u.profile.Active {
		return nil, ErrInactive
	}
	changed := &eventsv1.ProfileUpdated{UserId: u.profile.ID, FirstName: u.profile.FirstName, LastName: u.profile.LastName}
	if firstName != nil {
		changed.FirstName = *firstName
	}
	if lastName != nil {
		changed.LastName = *lastName
	}
	if changed.GetFirstName() == u.profile.FirstName && changed.GetLastName() == u.profile.LastName {
		return nil, nil
	}
	return []proto.Message{changed}, nil
}
