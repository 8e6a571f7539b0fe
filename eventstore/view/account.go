package view

import (
	"context"
	"errors"
	"time"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// ErrNoAccount: there is no such account.
var ErrNoAccount = errors.New("no such account")

// NotYetError says that an account was opened later than asked for.
type NotYetError struct {
	// First is when its first event occurred.
	First time.Time
}

// Error tells when that was.
func (e *NotYetError) Error() string { return "account was opened later, at " + e.First.String() }

// Accounts are people's, where the service has such.
type Accounts interface {
	// Find names the account that has a login name now. Errors: ErrNoAccount.
	Find(ctx context.Context, loginName string) (userID string, err error)
	// At tells an account as it stood at a time; at present where that is zero.
	// Errors: ErrNoAccount, *NotYetError.
	At(ctx context.Context, userID string, at time.Time) (Account, error)
}

// Account is one as it stood.
type Account struct {
	// Stream of its events, and the last version up to that time.
	Stream  string
	Version int64
	// Epoch of the log.
	Epoch int64
	// User is the account, whole; nil where its events cannot be opened.
	User *musterv1.User
	// Erased tells that the person has been erased, then or since.
	Erased bool
}

// withoutPerson leaves what is not personal.
func withoutPerson(user *musterv1.User) {
	if user != nil {
		user.Username, user.Email, user.FirstName, user.LastName, user.AvatarUrl = "", "", "", "", ""
	}
}
