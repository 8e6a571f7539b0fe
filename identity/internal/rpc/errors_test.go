package rpc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestEveryErrorHasItsReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		want  musterv1.Reason
		field string
		retry time.Duration
	}{
		{err: &app.InvalidFieldError{Field: "firstName", Problem: "No"}, want: musterv1.Reason_REASON_INVALID_ARGUMENT, field: "firstName"},
		{err: &password.OverloadedError{RetryAfter: 2 * time.Second}, want: musterv1.Reason_REASON_OVERLOADED, retry: 2 * time.Second},
		{err: app.ErrUsernameTaken, want: musterv1.Reason_REASON_USERNAME_TAKEN, field: "username"},
		{err: app.ErrEmailTaken, want: musterv1.Reason_REASON_EMAIL_TAKEN, field: "email"},
		{err: app.ErrWrongPassword, want: musterv1.Reason_REASON_WRONG_PASSWORD, field: "presentPassword"},
		{err: app.ErrPasswordUnchanged, want: musterv1.Reason_REASON_PASSWORD_UNCHANGED, field: "newPassword"},
		{err: app.ErrUserNotFound, want: musterv1.Reason_REASON_NOT_FOUND},
		{err: app.ErrCallerGone, want: musterv1.Reason_REASON_TOKEN_INVALID},
		{err: app.ErrCallerDemoted, want: musterv1.Reason_REASON_PERMISSION_DENIED},
		{err: app.ErrLastAdmin, want: musterv1.Reason_REASON_LAST_ADMIN},
		{err: user.ErrOwnAccount, want: musterv1.Reason_REASON_OWN_ACCOUNT},
		{err: keyring.ErrForeignKey, want: musterv1.Reason_REASON_PERMISSION_DENIED},
		{err: user.ErrInactive, want: musterv1.Reason_REASON_ACCOUNT_INACTIVE},
		{err: user.ErrPasswordChanged, want: musterv1.Reason_REASON_CONFLICT},
		{err: eventstore.ErrWrongVersion, want: musterv1.Reason_REASON_CONFLICT},
		{err: eventstore.ErrCommandReused, want: musterv1.Reason_REASON_IDEMPOTENCY_KEY_REUSED},
		{err: postgres.ErrBusy, want: musterv1.Reason_REASON_UNAVAILABLE, retry: time.Second},
		// It was lost between two statements: a fault run met it at the COMMIT.
		{err: pgconn.ErrConnClosed, want: musterv1.Reason_REASON_UNAVAILABLE, retry: time.Second},
	} {
		got := refusal(fmt.Errorf("command: %w", c.err))
		detail, _ := reason.DetailOf(got)
		if reason.Of(got) != c.want || detail.GetField() != c.field || detail.GetRetryAfterMs() != c.retry.Milliseconds() {
			t.Errorf("%v: got %v, %v", c.err, reason.Of(got), detail)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%v: the cause is lost to the log", c.err)
		}
	}
	fault := errors.New("a fault of ours")
	if got := refusal(fault); !errors.Is(got, fault) || reason.Of(got) != 0 {
		t.Errorf("got %v", got)
	}
}
