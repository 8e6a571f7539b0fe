package reason

import (
	"regexp"
	"strings"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// What protojson says of a body, with the parts that do not hold the value.
var (
	unknownField = regexp.MustCompile(`unknown field "([A-Za-z_][A-Za-z0-9_.]{0,63})"`)
	anyUnknown   = regexp.MustCompile(`unknown field "`)
	badField     = regexp.MustCompile(`invalid value for \w+ field ([A-Za-z_][A-Za-z0-9_]{0,63}):`)
)

// Unreadable is the error of a request that Connect itself refused before any
// interceptor ran. Connect gives no more than a code and a text, and the text
// may hold what the caller sent: no part of it but a field's name goes on.
func Unreadable(code connect.Code, text string) *connect.Error {
	switch code {
	case connect.CodeCanceled:
		return New(musterv1.Reason_REASON_CANCELED)
	case connect.CodeDeadlineExceeded:
		return New(musterv1.Reason_REASON_DEADLINE_EXCEEDED)
	case connect.CodeResourceExhausted:
		return New(musterv1.Reason_REASON_BODY_TOO_LARGE)
	case connect.CodeInternal:
		// Connect calls a frame that breaks the protocol internal, whoever sent it.
		if !strings.HasPrefix(text, "protocol error: ") {
			return New(musterv1.Reason_REASON_INTERNAL)
		}
	}
	if field := unknownField.FindStringSubmatch(text); field != nil {
		return New(musterv1.Reason_REASON_UNKNOWN_FIELD, Field(field[1]))
	}
	if anyUnknown.MatchString(text) {
		return New(musterv1.Reason_REASON_UNKNOWN_FIELD)
	}
	if field := badField.FindStringSubmatch(text); field != nil {
		return New(musterv1.Reason_REASON_INVALID_ARGUMENT, Field(field[1]), Message(field[1]+" has a value of the wrong type"))
	}
	return New(musterv1.Reason_REASON_INVALID_ARGUMENT, Message("The request cannot be read: its body, encoding or time-out header is malformed"))
}
