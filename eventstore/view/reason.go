package view

import (
	"errors"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func denied() error {
	return reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, errors.New("You may not see what is personal without the permission "+Permission), &musterv1.ErrorDetail{Field: "sensitive"}) //nolint:staticcheck // a sentence for people
}

func invalid(field, why string) error {
	return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, errors.New(why), &musterv1.ErrorDetail{Field: field})
}

func pageTokenInvalid() error {
	return reason.New(musterv1.Reason_REASON_PAGE_TOKEN_INVALID, nil, &musterv1.ErrorDetail{Field: "pageToken"})
}

// notFound says why, or what the table says.
func notFound(field, why string) error {
	var told error
	if why != "" {
		told = errors.New(why)
	}
	return reason.New(musterv1.Reason_REASON_NOT_FOUND, told, &musterv1.ErrorDetail{Field: field})
}

func tooManyWatch() error {
	return reason.New(musterv1.Reason_REASON_OVERLOADED, errors.New("as many as this process allows watch the log already"), &musterv1.ErrorDetail{RetryAfterMs: 2000})
}

// ofCursor says what is wrong with a cursor.
func ofCursor(err error) error {
	switch {
	case errors.Is(err, eventstore.ErrCursorInvalid):
		return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, eventstore.ErrCursorInvalid, &musterv1.ErrorDetail{Field: "cursor"})
	case errors.Is(err, eventstore.ErrEpochChanged):
		return reason.New(musterv1.Reason_REASON_EPOCH_CHANGED, eventstore.ErrEpochChanged, nil)
	}
	return err
}
