package rpc

import (
	"errors"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// busyRetry is when a log that was busy is worth another try.
	busyRetry = time.Second
	// storageRetry is when a storage that was away is.
	storageRetry = 2 * time.Second
)

// refusal is the one map from media's errors to reasons. What is not on it is a
// fault of ours, or of a service behind, and the interceptor answers it as one.
func refusal(err error) error {
	cause := reason.Cause(err)
	if invalid := (*app.InvalidFieldError)(nil); errors.As(err, &invalid) {
		return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field(invalid.Field), reason.Message(invalid.Problem), cause)
	}
	if overloaded := (*picture.OverloadedError)(nil); errors.As(err, &overloaded) {
		return reason.New(musterv1.Reason_REASON_OVERLOADED, reason.Message("Too many pictures at once"), reason.RetryAfter(overloaded.RetryAfter), cause)
	}
	switch {
	case errors.Is(err, picture.ErrNotAPicture):
		return reason.New(musterv1.Reason_REASON_PICTURE_INVALID, reason.Field("picture"), cause)
	case errors.Is(err, picture.ErrTooLarge):
		return reason.New(musterv1.Reason_REASON_PICTURE_TOO_LARGE, reason.Field("picture"), cause)
	case errors.Is(err, app.ErrNotFound):
		return reason.New(musterv1.Reason_REASON_NOT_FOUND, cause)
	case errors.Is(err, file.ErrNotYours):
		return reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, reason.Message("Only its owner may delete this file"), cause)
	case errors.Is(err, app.ErrUploadIncomplete):
		return reason.New(musterv1.Reason_REASON_UPLOAD_INCOMPLETE, cause)
	case errors.Is(err, app.ErrUploadExpired):
		return reason.New(musterv1.Reason_REASON_UPLOAD_EXPIRED, cause)
	case errors.Is(err, app.ErrUploadMismatch):
		return reason.New(musterv1.Reason_REASON_UPLOAD_MISMATCH, cause)
	case errors.Is(err, eventstore.ErrWrongVersion), errors.Is(err, object.ErrChanged):
		return reason.New(musterv1.Reason_REASON_CONFLICT, cause)
	case errors.Is(err, object.ErrUnavailable):
		return reason.New(musterv1.Reason_REASON_STORAGE_UNAVAILABLE, reason.RetryAfter(storageRetry), cause)
	case errors.Is(err, postgres.ErrBusy), database.Away(err):
		return reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.RetryAfter(busyRetry), cause)
	}
	return err
}
