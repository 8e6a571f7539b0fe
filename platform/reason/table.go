package reason

import (
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const prefix = "REASON_"

// entry is one line of the table in muster/v1/errors.proto.
type entry struct {
	reason  musterv1.Reason
	name    string // without prefix
	code    connect.Code
	message string
	next    string
}

// lookUp reads a reason's line. A value without a line is a fault of ours, so
// it is answered as one: INTERNAL.
func lookUp(r musterv1.Reason) entry {
	value := r.Descriptor().Values().ByNumber(r.Number())
	if value == nil {
		return lookUp(musterv1.Reason_REASON_INTERNAL)
	}
	option, _ := proto.GetExtension(value.Options(), optionsv1.E_Reason).(*optionsv1.Reason)
	var code connect.Code
	if err := code.UnmarshalText([]byte(option.GetCode())); err != nil {
		if r == musterv1.Reason_REASON_INTERNAL {
			code = connect.CodeInternal
		} else {
			return lookUp(musterv1.Reason_REASON_INTERNAL)
		}
	}
	return entry{
		reason:  r,
		name:    strings.TrimPrefix(string(value.Name()), prefix),
		code:    code,
		message: option.GetMessage(),
		next:    option.GetNext(),
	}
}
