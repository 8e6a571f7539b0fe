package eventlog

import (
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
