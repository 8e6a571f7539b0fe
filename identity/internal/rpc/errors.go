package rpc

import (
	"errors"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// busyRetry is when a log that was busy, or away, is worth another try.
const busyRetry = time.Second

// refusal is the one map from identity's errors to reasons. What is not on it
// is a fault of ours, and the interceptor answers it as one.
func refusal(err error) error {
	cause := reason.Cause(err)
	if invalid := (*app.InvalidFieldError)(nil); errors.As(err, &invalid) {
		return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field(invalid.Field), reason.Message(invalid.Problem), cause)
	}
	if overloaded := (*password.OverloadedError)(nil); errors.As(err, &overloaded) {
		return reason.New(musterv1.Reason_REASON_OVERLOADED, reason.RetryAfter(overloaded.RetryAfter), cause)
	}
	switch {
	case errors.Is(err, app.ErrUsernameTaken):
		return reason.New(musterv1.Reason_REASON_USERNAME_TAKEN, reason.Field("username"), cause)
	case errors.Is(err, app.ErrEmailTaken):
		return reason.New(musterv1.Reason_REASON_EMAIL_TAKEN, reason.Field("email"), cause)
	case errors.Is(err, app.ErrWrongPassword):
		return reason.New(musterv1.Reason_REASON_WRONG_PASSWORD, reason.Field("presentPassword"), cause)
	case errors.Is(err, app.ErrPasswordUnchanged):
		return reason.New(musterv1.Reason_REASON_PASSWORD_UNCHANGED, reason.Field("newPassword"), cause)
	case errors.Is(err, app.ErrUserNotFound):
		return reason.New(musterv1.Reason_REASON_NOT_FOUND, cause)
	case errors.Is(err, app.ErrCallerGone):
		return reason.New(musterv1.Reason_REASON_TOKEN_INVALID, cause)
	case errors.Is(err, user.ErrOwnAccount):
		return reason.New(musterv1.Reason_REASON_OWN_ACCOUNT, cause)
	case errors.Is(err, app.ErrLastAdmin):
		return reason.New(musterv1.Reason_REASON_LAST_ADMIN, cause)
	case errors.Is(err, user.ErrInactive):
		return reason.New(musterv1.Reason_REASON_ACCOUNT_INACTIVE, cause)
	case errors.Is(err, user.ErrPasswordChanged), errors.Is(err, eventstore.ErrWrongVersion):
		return reason.New(musterv1.Reason_REASON_CONFLICT, cause)
	case errors.Is(err, eventstore.ErrCommandReused):
		return reason.New(musterv1.Reason_REASON_IDEMPOTENCY_KEY_REUSED, cause)
	case errors.Is(err, keyring.ErrForeignKey), errors.Is(err, app.ErrCallerDemoted):
		return reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, cause)
	case errors.Is(err, app.ErrPositionInvalid):
		return reason.New(musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, cause)
	case errors.Is(err, postgres.ErrBusy), database.Away(err):
		return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.RetryAfter(busyRetry), cause)
	}
	return err
}
