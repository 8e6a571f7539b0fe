package rpc

import (
	"errors"
	"time"

	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// catchUpRetry is when a projection that was late for one call has as a rule
// caught up.
const catchUpRetry = time.Second

// databaseRetry is when a database that does not answer, or is being made anew,
// is worth another try.
const databaseRetry = 2 * time.Second

// errNoPrincipal: a method that needs a person was reached without one, which
// the access gate does not let happen.
var errNoPrincipal = errors.New("no signed-in person")

// refusal is the one map from what can go wrong to what is answered. What it
// does not know is left to the interceptor, which tells a fault of ours from a
// caller who is gone.
func refusal(err error) error {
	var overloaded *password.OverloadedError
	if errors.As(err, &overloaded) {
		return reason.New(musterv1.Reason_REASON_OVERLOADED, reason.RetryAfter(overloaded.RetryAfter))
	}
	if errors.Is(err, app.ErrNotCaughtUp) {
		return reason.New(musterv1.Reason_REASON_NOT_CAUGHT_UP, reason.RetryAfter(catchUpRetry))
	}
	if errors.Is(err, app.ErrIncomplete) {
		return reason.New(musterv1.Reason_REASON_NOT_CAUGHT_UP, reason.RetryAfter(catchUpRetry),
			reason.Message("Accounts are being read from the log again"))
	}
	if database.Away(err) || database.Lost(err) {
		return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.RetryAfter(databaseRetry), reason.Cause(err))
	}
	for _, known := range []struct {
		err    error
		reason musterv1.Reason
	}{
		{app.ErrWrongCredentials, musterv1.Reason_REASON_WRONG_CREDENTIALS},
		{app.ErrAccountInactive, musterv1.Reason_REASON_ACCOUNT_INACTIVE},
		{app.ErrPositionInvalid, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID},
		{app.ErrContended, musterv1.Reason_REASON_CONFLICT},
		{session.ErrInvalid, musterv1.Reason_REASON_TOKEN_INVALID},
		{session.ErrExpired, musterv1.Reason_REASON_TOKEN_EXPIRED},
		{session.ErrRevoked, musterv1.Reason_REASON_SESSION_REVOKED},
		{session.ErrReused, musterv1.Reason_REASON_REFRESH_TOKEN_REUSED},
		{errNoPrincipal, musterv1.Reason_REASON_UNAUTHENTICATED},
	} {
		if errors.Is(err, known.err) {
			return reason.New(known.reason, reason.Cause(err))
		}
	}
	return err
}
