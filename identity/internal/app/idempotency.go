package app

import (
	"context"
	"fmt"

	"github.com/muster-id/muster/eventstore"
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
// and executes any other.
func (i idempotency) once(ctx context.Context, command *eventstore.Command, do func() (eventstore.Appended, error)) (eventstore.Position, error) {
	if command == nil {
		appended, err := do()
		return appended.Position, err
	}
	position, found, err := i.log.FindCommand(ctx, *command)
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("find command: %w", err)
	}
	if found {
		return position, nil
	}
	appended, err := do()
	if err == nil {
		return appended.Position, nil
	}
	// Its own double may have been faster, and be the very reason why this one was refused.
	if position, found, findErr := i.log.FindCommand(ctx, *command); findErr == nil && found {
		return position, nil
	}
	return eventstore.Position{}, err
}
