package rpc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
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
		{err: &app.InvalidFieldError{Field: "contentType", Problem: "No"}, want: musterv1.Reason_REASON_INVALID_ARGUMENT, field: "contentType"},
		{err: &picture.OverloadedError{RetryAfter: 2 * time.Second}, want: musterv1.Reason_REASON_OVERLOADED, retry: 2 * time.Second},
		{err: picture.ErrNotAPicture, want: musterv1.Reason_REASON_PICTURE_INVALID, field: "picture"},
		{err: picture.ErrTooLarge, want: musterv1.Reason_REASON_PICTURE_TOO_LARGE, field: "picture"},
		{err: app.ErrNotFound, want: musterv1.Reason_REASON_NOT_FOUND},
		{err: file.ErrNotYours, want: musterv1.Reason_REASON_PERMISSION_DENIED},
		{err: app.ErrUploadIncomplete, want: musterv1.Reason_REASON_UPLOAD_INCOMPLETE},
		{err: app.ErrUploadExpired, want: musterv1.Reason_REASON_UPLOAD_EXPIRED},
		{err: app.ErrUploadMismatch, want: musterv1.Reason_REASON_UPLOAD_MISMATCH},
		{err: object.ErrChanged, want: musterv1.Reason_REASON_CONFLICT},
		{err: object.ErrUnavailable, want: musterv1.Reason_REASON_STORAGE_UNAVAILABLE, retry: 2 * time.Second},
		{err: eventstore.ErrWrongVersion, want: musterv1.Reason_REASON_CONFLICT},
		{err: postgres.ErrBusy, want: musterv1.Reason_REASON_UNAVAILABLE, retry: time.Second},
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
