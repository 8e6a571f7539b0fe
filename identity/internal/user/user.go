package user

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

var (
	// ErrInactive: the account is deactivated.
	ErrInactive = errors.New("account is deactivated")
	// ErrPasswordChanged: the password is not the one that was checked any more.
	ErrPasswordChanged = errors.New("password was changed meanwhile")
	// ErrErased: the person was erased; nothing of the account is left.
	ErrErased = errors.New("account is erased")
	// ErrOwnAccount: administrators cannot deactivate, demote or delete themselves.
	ErrOwnAccount = errors.New("administrators cannot do this to themselves")
)

// RoleAdmin is the role of administrators. Somebody always has it.
const RoleAdmin = access.Admin

// StreamPrefix is in front of the account's id in the name of its stream.
const StreamPrefix = "user-"

// Stream names the stream of an account.
func Stream(id string) string { return StreamPrefix + id }

// User is the state of one account, folded from its stream.
type User struct {
	profile  Profile
	password Password
	erased   bool
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

// Administers tells whether the account is an administrator's who can act: a
// deactivated one is none.
func (p Profile) Administers() bool { return p.Active && slices.Contains(p.Roles, RoleAdmin) }

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

// Erased tells whether the person was erased.
func (u *User) Erased() bool { return u.erased }

// After tells what the account will show once messages that were decided on it
// are recorded.
func (u *User) After(decided []proto.Message) Profile {
	after := *u
	for _, message := range decided {
		after.Apply(eventstore.Opened{Message: message})
	}
	return after.Profile()
}

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
	case *eventsv1.UsernameChanged:
		u.profile.Username = e.GetUsername()
	case *eventsv1.EmailChanged:
		u.profile.Email = e.GetEmail()
	case *eventsv1.RolesChanged:
		u.profile.Roles = e.GetRoles()
	case *eventsv1.UserErased:
		// A key that somebody remembers may still have opened what came before.
		*u = User{profile: Profile{ID: u.profile.ID}, erased: true}
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
	kind := eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN
	if r.MustChange {
		kind = eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME
	}
	return []proto.Message{
		&eventsv1.UserRegistered{
			UserId:    r.ID,
			Username:  r.Username,
			Email:     r.Email,
			FirstName: r.FirstName,
			LastName:  r.LastName,
			Roles:     r.Roles,
		},
		passwordSet(r.ID, r.Verifier, kind),
	}
}

func passwordSet(id string, verifier secret.String, kind eventsv1.PasswordKind) *eventsv1.PasswordSet {
	return &eventsv1.PasswordSet{UserId: id, Verifier: verifier.Reveal(), Kind: kind}
}

// ChangePassword sets a new password, if the one that was checked is still the
// present one. Errors: ErrErased, ErrInactive, ErrPasswordChanged.
func (u *User) ChangePassword(checked Password, verifier secret.String) ([]proto.Message, error) {
	if err := u.usable(); err != nil {
		return nil, err
	}
	if u.password.Version != checked.Version {
		return nil, ErrPasswordChanged
	}
	return []proto.Message{passwordSet(u.profile.ID, verifier, eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN)}, nil
}

// UpdateProfile changes names; nil leaves one as it is. What changes nothing
// decides nothing. Errors: ErrErased, ErrInactive.
func (u *User) UpdateProfile(firstName, lastName *string) ([]proto.Message, error) {
	if err := u.usable(); err != nil {
		return nil, err
	}
	return u.rename(firstName, lastName), nil
}

// usable refuses what only a person with an open account can do.
func (u *User) usable() error {
	switch {
	case u.erased:
		return ErrErased
	case !u.profile.Active:
		return ErrInactive
	}
	return nil
}

func (u *User) rename(firstName, lastName *string) []proto.Message {
	changed := &eventsv1.ProfileUpdated{UserId: u.profile.ID, FirstName: u.profile.FirstName, LastName: u.profile.LastName}
	if firstName != nil {
		changed.FirstName = *firstName
	}
	if lastName != nil {
		changed.LastName = *lastName
	}
	if changed.GetFirstName() == u.profile.FirstName && changed.GetLastName() == u.profile.LastName {
		return nil
	}
	return []proto.Message{changed}
}

// Changes are what an administrator changes of an account; nil leaves a part as it is.
type Changes struct {
	Username  *string
	Email     *string
	FirstName *string
	LastName  *string
	// Verifier of a new password, which has to be changed at the next sign-in.
	Verifier *secret.String
	Active   *bool
}

// Change changes an account on behalf of by, the id of an administrator's
// account. Also a deactivated account is changed. What changes nothing decides
// nothing, but for a password, of which nobody can tell. Errors: ErrErased,
// ErrOwnAccount.
func (u *User) Change(by string, c Changes) ([]proto.Message, error) {
	if u.erased {
		return nil, ErrErased
	}
	if by == u.profile.ID && c.Active != nil && !*c.Active {
		return nil, ErrOwnAccount
	}
	id := u.profile.ID
	var decided []proto.Message
	if c.Username != nil && *c.Username != u.profile.Username {
		decided = append(decided, &eventsv1.UsernameChanged{UserId: id, Username: *c.Username})
	}
	if c.Email != nil && *c.Email != u.profile.Email {
		decided = append(decided, &eventsv1.EmailChanged{UserId: id, Email: *c.Email})
	}
	decided = append(decided, u.rename(c.FirstName, c.LastName)...)
	if c.Verifier != nil {
		decided = append(decided, passwordSet(id, *c.Verifier, eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME))
	}
	switch {
	case c.Active == nil || *c.Active == u.profile.Active:
	case *c.Active:
		decided = append(decided, &eventsv1.UserReactivated{UserId: id})
	default:
		decided = append(decided, &eventsv1.UserDeactivated{UserId: id})
	}
	return decided, nil
}

// SetRoles replaces the roles on behalf of by, the id of an administrator's
// account. Their order means nothing. Errors: ErrErased, ErrOwnAccount.
func (u *User) SetRoles(by string, roles []string) ([]proto.Message, error) {
	if u.erased {
		return nil, ErrErased
	}
	roles, had := sorted(roles), sorted(u.profile.Roles)
	if slices.Equal(roles, had) {
		return nil, nil
	}
	if by == u.profile.ID && slices.Contains(had, RoleAdmin) && !slices.Contains(roles, RoleAdmin) {
		return nil, ErrOwnAccount
	}
	return []proto.Message{&eventsv1.RolesChanged{UserId: u.profile.ID, Roles: roles}}, nil
}

func sorted(roles []string) []string { return slices.Compact(slices.Sorted(slices.Values(roles))) }

// Erase ends the account on behalf of by, the id of an administrator's account.
// keys are those that its events are sealed under. Errors: ErrErased, ErrOwnAccount.
func (u *User) Erase(by string, keys []string) ([]proto.Message, error) {
	if u.erased {
		return nil, ErrErased
	}
	if by == u.profile.ID {
		return nil, ErrOwnAccount
	}
	return []proto.Message{&eventsv1.UserErased{UserId: u.profile.ID, KeyIds: keys}}, nil
}
