package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
)

var (
	// ErrUsernameTaken: another account has the username.
	ErrUsernameTaken = errors.New("username is taken")
	// ErrEmailTaken: another account has the email address.
	ErrEmailTaken = errors.New("email address is taken")
)

// Kinds of reservations.
const (
	kindUsername = "username"
	kindEmail    = "email"
	// kindFirstAdmin is held by the first administrator's account for ever, so
	// that there is only ever one, whatever becomes of its names.
	kindFirstAdmin = "first_admin"
)

// accounts opens accounts under names that nobody else has.
type accounts struct {
	users        *eventstore.Repository[*user.User]
	log          Log
	reservations Hasher
	newID        func() (uuid.UUID, error)
}

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

// open appends the first events of an account and takes its names. Errors:
// ErrUsernameTaken, ErrEmailTaken.
func (a accounts) open(ctx context.Context, account user.Registration, names []eventstore.Reservation, of eventstore.Context) (eventstore.Appended, error) {
	change := eventstore.Change{Messages: user.Register(account), Reserve: names}
	appended, err := a.users.Create(ctx, user.Stream(account.ID), change, of)
	if taken := (*eventstore.ReservedError)(nil); errors.As(err, &taken) {
		switch taken.Kind {
		case kindUsername:
			return appended, ErrUsernameTaken
		case kindEmail:
			return appended, ErrEmailTaken
		}
	}
	return appended, err
}
