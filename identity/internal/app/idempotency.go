package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
)

// anonymous is the caller of a command without a signed-in person.
const anonymous = "anonymous"

// idempotency executes a command that is sent twice once.
type idempotency struct {
	log          Log
	fingerprints Hasher
}

// command identifies a request by its idempotency key; nil without one. fields
// are those of the request, in canonical form, without its passwords.
func (i idempotency) command(caller, method, key string, fields ...string) *eventstore.Command {
	if key == "" {
		return nil
	}
	return &eventstore.Command{
		Caller:      caller,
		Method:      method,
		Key:         key,
		Fingerprint: i.fingerprints.Sum(append([]string{caller, method}, fields...)...),
	}
}

// once answers a command that was executed before from where it then led to,
// and executes any other. One with a password has to be given to samePassword
// afterwards.
func (i idempotency) once(ctx context.Context, command *eventstore.Command, do func() (eventstore.Appended, error)) (eventstore.Appended, error) {
	if command == nil {
		return do()
	}
	position, found, err := i.log.FindCommand(ctx, *command)
	if err != nil {
		return eventstore.Appended{}, fmt.Errorf("find command: %w", err)
	}
	if found {
		return eventstore.Appended{Position: position, Replayed: true}, nil
	}
	appended, err := do()
	if err == nil {
		return appended, nil
	}
	// Its own double may have been faster, and be the very reason why this one was refused.
	if position, found, findErr := i.log.FindCommand(ctx, *command); findErr == nil && found {
		return eventstore.Appended{Position: position, Replayed: true}, nil
	}
	return eventstore.Appended{}, err
}

// accountOf names the account that a command was about: of a repeated one that
// opens an account, the one that the first time opened.
func accountOf(done eventstore.Position) (userID string) {
	return strings.TrimPrefix(done.Stream, user.StreamPrefix)
}

// samePassword compares the one part of a repeated command that no fingerprint
// holds, by the verifier that the first one recorded: whoever is told that it is
// done has to come in with the password given. It costs a hash. A verifier or a
// person erased since compares with nothing. Errors: eventstore.ErrCommandReused,
// *password.OverloadedError.
func samePassword(ctx context.Context, accounts accounts, passwords Passwords, done eventstore.Appended, chosen secret.String) error {
	if !done.Replayed {
		return nil
	}
	account, err := accounts.loadAt(ctx, accountOf(done.Position), done.Position.Version)
	if errors.Is(err, ErrUserNotFound) {
		return eventstore.ErrCommandReused
	}
	if err != nil {
		return err
	}
	recorded := account.State.Password().Verifier
	if recorded.Empty() {
		return eventstore.ErrCommandReused
	}
	same, err := passwords.Verify(ctx, recorded, chosen)
	if err != nil {
		return err
	}
	if !same {
		return eventstore.ErrCommandReused
	}
	return nil
}
