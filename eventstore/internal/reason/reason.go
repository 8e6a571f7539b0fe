// Package reason gives an error a reason of the table in muster/v1/errors.proto,
// so that it crosses services. Services do the same by platform/reason, which
// passes on what is made here; eventstore imports proto only.
package reason

import (
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// New makes the error of a reason. Its text is that of err, which the client
// sees; the table's where err is nil. The detail may say a field and a time to
// wait, and is completed; it may be nil.
func New(r musterv1.Reason, err error, detail *musterv1.ErrorDetail) *connect.Error {
	value := r.Descriptor().Values().ByNumber(r.Number())
	table, _ := proto.GetExtension(value.Options(), optionsv1.E_Reason).(*optionsv1.Reason)
	code := connect.CodeInternal
	_ = code.UnmarshalText([]byte(table.GetCode())) // the table is tested by platform/reason
	if err == nil {
		err = errors.New(table.GetMessage())
	}
	if detail == nil {
		detail = &musterv1.ErrorDetail{}
	}
	detail.Reason, detail.Next = Name(r), table.GetNext()
	answer := connect.NewError(code, err)
	if packed, err := connect.NewErrorDetail(detail); err == nil { // fails for invalid UTF-8 only
		answer.AddDetail(packed)
	}
	return answer
}

// DetailOf gives the detail that an error carries; nil where it carries none.
func DetailOf(err error) *musterv1.ErrorDetail {
	var answer *connect.Error
	if !errors.As(err, &answer) {
		return nil
	}
	for _, detail := range answer.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // of a type that this process does not know
		}
		if says, ok := value.(*musterv1.ErrorDetail); ok {
			return says
		}
	}
	return nil
}

// Name is how a reason is spelt in a detail.
func Name(r musterv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }
