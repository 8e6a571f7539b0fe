package eventlog

import (
	"errors"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// cursorField is the field that an invalid cursor is reported for.
const cursorField = "cursor"

func cursorInvalid() error {
	return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, eventstore.ErrCursorInvalid, &musterv1.ErrorDetail{Field: cursorField})
}

func epochChanged() error {
	return reason.New(musterv1.Reason_REASON_EPOCH_CHANGED, eventstore.ErrEpochChanged, nil)
}

// tooManyFollow asks to come back after a while that is longer than a client
// takes to come back by itself.
func tooManyFollow() error {
	return reason.New(musterv1.Reason_REASON_OVERLOADED, errors.New("as many as this process allows follow the log already"), &musterv1.ErrorDetail{RetryAfterMs: 2000})
}

// fromError gives back the log's own errors.
func fromError(err error) error {
	says := reason.DetailOf(err)
	switch {
	case says.GetReason() == reason.Name(musterv1.Reason_REASON_EPOCH_CHANGED):
		return eventstore.ErrEpochChanged
	case says.GetReason() == reason.Name(musterv1.Reason_REASON_INVALID_ARGUMENT) && says.GetField() == cursorField:
		return eventstore.ErrCursorInvalid
	}
	return err
}
