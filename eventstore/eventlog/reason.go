package eventlog

import (
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// cursorField is the field that an invalid cursor is reported for.
const cursorField = "cursor"

func cursorInvalid() error {
	return withReason(connect.CodeInvalidArgument, eventstore.ErrCursorInvalid, musterv1.Reason_REASON_INVALID_ARGUMENT, cursorField)
}

func epochChanged() error {
	return withReason(connect.CodeFailedPrecondition, eventstore.ErrEpochChanged, musterv1.Reason_REASON_EPOCH_CHANGED, "")
}

func withReason(code connect.Code, err error, reason musterv1.Reason, field string) error {
	answer := connect.NewError(code, err)
	says := &musterv1.ErrorDetail{Reason: nameOf(reason), Field: field}
	value := reason.Descriptor().Values().ByNumber(reason.Number())
	if table, ok := proto.GetExtension(value.Options(), optionsv1.E_Reason).(*optionsv1.Reason); ok {
		says.Next = table.GetNext()
	}
	if detail, err := connect.NewErrorDetail(says); err == nil {
		answer.AddDetail(detail)
	}
	return answer
}

// fromError gives back the log's own errors.
func fromError(err error) error {
	var answer *connect.Error
	if !errors.As(err, &answer) {
		return err
	}
	for _, detail := range answer.Details() {
		value, decodeErr := detail.Value()
		if decodeErr != nil {
			continue
		}
		says, ok := value.(*musterv1.ErrorDetail)
		if !ok {
			continue
		}
		switch {
		case says.GetReason() == nameOf(musterv1.Reason_REASON_EPOCH_CHANGED):
			return eventstore.ErrEpochChanged
		case says.GetReason() == nameOf(musterv1.Reason_REASON_INVALID_ARGUMENT) && says.GetField() == cursorField:
			return eventstore.ErrCursorInvalid
		}
	}
	return err
}

func nameOf(reason musterv1.Reason) string { return strings.TrimPrefix(reason.String(), "REASON_") }
