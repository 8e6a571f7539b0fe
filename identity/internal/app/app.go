// Package app is what identity can do: each command and each query is a file.
//
//	command ─▶ canonical names ─▶ done before? ─▶ load ─▶ aggregate decides ─▶ append
package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/secret"
)

// LogName is the name of identity's event log.
const LogName = "identity"

// App lists everything that identity can do.
type App struct {
	Commands Commands
	Queries  Queries
}

// Commands change something.
type Commands struct {
	// Register opens an account.
	Register *RegisterHandler
	// ChangePassword sets a new password.
	ChangePassword *ChangePasswordHandler
	// UpdateProfile changes a person's names.
	UpdateProfile *UpdateProfileHandler
	// FirstAdmin sees to it that there is an administrator.
	FirstAdmin *FirstAdminHandler
	// CreateUser opens an account for somebody.
	CreateUser *CreateUserHandler
	// UpdateUser changes an account.
	UpdateUser *UpdateUserHandler
	// SetUserRoles replaces the roles of an account.
	SetUserRoles *SetUserRolesHandler
	// DeleteUser erases a person.
	DeleteUser *DeleteUserHandler
}

// Queries change nothing.
type Queries struct {
	// GetProfile tells a person's profile.
	GetProfile *GetProfileHandler
	// GetUser tells anybody's account.
	GetUser *GetUserHandler
	// ListUsers tells accounts, page by page.
	ListUsers *ListUsersHandler
	// FindUser tells whose a login name is.
	FindUser *FindUserHandler
	// GetHistory tells how an account stood at a time.
	GetHistory *GetHistoryHandler
	// Await waits until what is read shows a change.
	Await *AwaitHandler
}

// Log is the event log as the commands need it.
type Log interface {
	eventstore.Store
	// FindCommand tells the outcome of a command that was executed before.
	// Errors: eventstore.ErrCommandReused.
	FindCommand(ctx context.Context, command eventstore.Command) (eventstore.Position, bool, error)
	// Reserved tells the kinds of those names that are taken.
	Reserved(ctx context.Context, names []eventstore.Reservation) ([]string, error)
	// Holder names the stream that has a name; empty for none.
	Holder(ctx context.Context, name eventstore.Reservation) (stream string, err error)
}

// Hasher makes keyed hashes.
type Hasher interface {
	// KeyID names the key.
	KeyID() string
	// Sum hashes parts so that no two lists of parts read the same.
	Sum(parts ...string) []byte
}

// Passwords hashes and verifies. Both may answer *password.OverloadedError.
type Passwords interface {
	Hash(ctx context.Context, password secret.String) (verifier secret.String, err error)
	Verify(ctx context.Context, verifier, password secret.String) (bool, error)
}

// Directory reads the users projection.
type Directory interface {
	// List reads a page, in order.
	List(ctx context.Context, query users.Query) ([]users.User, error)
}

// Avatars reads the avatars projection.
type Avatars interface {
	// AvatarOf names a person's picture; empty without one.
	AvatarOf(ctx context.Context, userID string) (avatarID string, err error)
}

// Exclusive runs something in one process at a time.
type Exclusive interface {
	Do(ctx context.Context, name string, do func(context.Context) error) error
}

// Config is what the commands work with.
type Config struct {
	Log   Log
	Codec eventstore.Codec
	// Reservations hashes names, Fingerprints requests.
	Reservations, Fingerprints Hasher
	Passwords                  Passwords
	Exclusive                  Exclusive
	// Directory and Avatars read the projections.
	Directory Directory
	Avatars   Avatars
	// Projections can be waited for, each under the name of the log that it follows.
	Projections map[string]Projection
	Now         func() time.Time
	// NewID makes UUIDv7 ids, of accounts and of events.
	NewID func() (uuid.UUID, error)
}

// New puts the commands and queries together.
func New(config Config) App {
	users := &eventstore.Repository[*user.User]{
		Log:   LogName,
		Store: config.Log,
		Codec: config.Codec,
		New:   user.New,
		Now:   config.Now,
		NewID: config.NewID,
	}
	once := idempotency{log: config.Log, fingerprints: config.Fingerprints}
	accounts := accounts{users: users, log: config.Log, reservations: config.Reservations, newID: config.NewID}
	profiles := profiles{accounts: accounts, avatars: config.Avatars}
	return App{
		Commands: Commands{
			Register:       &RegisterHandler{accounts: accounts, passwords: config.Passwords, once: once},
			ChangePassword: &ChangePasswordHandler{accounts: accounts, passwords: config.Passwords, once: once},
			UpdateProfile:  &UpdateProfileHandler{accounts: accounts, profiles: profiles, once: once},
			FirstAdmin:     &FirstAdminHandler{accounts: accounts, passwords: config.Passwords, exclusive: config.Exclusive},
			CreateUser:     &CreateUserHandler{accounts: accounts, profiles: profiles, passwords: config.Passwords, once: once},
			UpdateUser:     &UpdateUserHandler{accounts: accounts, profiles: profiles, passwords: config.Passwords, once: once},
			SetUserRoles:   &SetUserRolesHandler{accounts: accounts, profiles: profiles, once: once},
			DeleteUser:     &DeleteUserHandler{accounts: accounts},
		},
		Queries: Queries{
			GetProfile: &GetProfileHandler{profiles: profiles},
			GetUser:    &GetUserHandler{profiles: profiles},
			ListUsers:  &ListUsersHandler{directory: config.Directory},
			FindUser:   &FindUserHandler{accounts: accounts},
			GetHistory: &GetHistoryHandler{accounts: accounts},
			Await:      &AwaitHandler{projections: config.Projections},
		},
	}
}
