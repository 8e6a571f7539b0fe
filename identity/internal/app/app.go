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
}

// Queries change nothing.
type Queries struct {
	// GetProfile tells a person's profile.
	GetProfile *GetProfileHandler
}

// Log is the event log as the commands need it.
type Log interface {
	eventstore.Store
	// FindCommand tells the outcome of a command that was executed before.
	// Errors: eventstore.ErrCommandReused.
	FindCommand(ctx context.Context, command eventstore.Command) (eventstore.Position, bool, error)
	// Reserved tells the kinds of those names that are taken.
	Reserved(ctx context.Context, names []eventstore.Reservation) ([]string, error)
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
	Now                        func() time.Time
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
	return App{
		Commands: Commands{
			Register:       &RegisterHandler{accounts: accounts, passwords: config.Passwords, once: once},
			ChangePassword: &ChangePasswordHandler{users: users, passwords: config.Passwords, once: once},
			UpdateProfile:  &UpdateProfileHandler{users: users, once: once},
			FirstAdmin:     &FirstAdminHandler{accounts: accounts, passwords: config.Passwords, exclusive: config.Exclusive},
		},
		Queries: Queries{
			GetProfile: &GetProfileHandler{users: users},
		},
	}
}
