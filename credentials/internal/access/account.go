package access

import (
	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/secret"
)

// Account is a row: what a sign-in needs to know of a person.
type Account struct {
	// UserID is the account's id.
	UserID uuid.UUID
	// Verifier of the password, a PHC string; empty while there is none.
	Verifier secret.String
	// PasswordVersion is the stream version of the password; 0 without one.
	PasswordVersion int64
	// MustChange tells that the password has to be changed first.
	MustChange bool
	// Active is false while the account is deactivated.
	Active bool
	// Roles that the person has.
	Roles []string
	// SessionsFrom is the stream version of the last password or deactivation:
	// sessions that were opened under an older one are over; 0 without either.
	SessionsFrom int64
	// AccessVersion is the stream version of the last event that changed any of this.
	AccessVersion int64
}
