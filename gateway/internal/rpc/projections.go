package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-id/muster/platform/reason"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// awaitTimeout is a little more than the 2 seconds that credentials and
	// identity wait themselves, so that their own answer is the ordinary end.
	awaitTimeout = 2500 * time.Millisecond
	// catchUpRetry is when a projection that was late for one call has as a rule
	// caught up.
	catchUpRetry = time.Second
)

// signInReady waits for the access projection. Whatever fails here delays the
// sign-in only, so it is no error of the command that came before.
func signInReady(ctx context.Context, credentials credentialsv1connect.CredentialsServiceClient, logger *slog.Logger, position *eventlogv1.Position) bool {
	awaited, err := call(ctx, awaitTimeout, credentials.AwaitAccess, &credentialsv1.AwaitAccessRequest{Position: position})
	if err != nil {
		logger.WarnContext(ctx, "the access projection could not be asked", slog.Any("error", err))
	}
	return awaited.GetApplied()
}

// shown waits for identity's projection of the position's log. Whatever fails
// here delays what is shown only, so it is no error of the command that came before.
func shown(ctx context.Context, identity identityv1connect.IdentityServiceClient, logger *slog.Logger, position *eventlogv1.Position) bool {
	awaited, err := call(ctx, awaitTimeout, identity.Await, &identityv1.AwaitRequest{Position: position})
	if err != nil {
		logger.WarnContext(ctx, "identity's projection could not be asked", slog.Any("error", err))
	}
	return awaited.GetApplied()
}

// caughtUp is for a list that has to show a position: NOT_CAUGHT_UP when the
// projection is not there in time.
func caughtUp(ctx context.Context, identity identityv1connect.IdentityServiceClient, position *eventlogv1.Position) error {
	if position == nil {
		return nil
	}
	awaited, err := call(ctx, awaitTimeout, identity.Await, &identityv1.AwaitRequest{Position: position})
	if err != nil {
		return err
	}
	if !awaited.GetApplied() {
		return reason.New(musterv1.Reason_REASON_NOT_CAUGHT_UP, reason.RetryAfter(catchUpRetry))
	}
	return nil
}
