package client

import (
	"errors"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Reason tells why a call failed, to branch on; REASON_UNSPECIFIED for an error
// that the server did not give, of the network for example.
func Reason(err error) musterv1.Reason {
	return musterv1.Reason(musterv1.Reason_value["REASON_"+Detail(err).GetReason()])
}

// Detail gives what the server said of an error: its reason, the field at fault,
// the request id and what to do next. It is nil when the server said nothing.
func Detail(err error) *musterv1.ErrorDetail {
	var sent *connect.Error
	if !errors.As(err, &sent) {
		return nil
	}
	for _, each := range sent.Details() {
		value, err := each.Value()
		if err != nil {
			continue // of a type that this program does not know
		}
		if detail, ok := value.(*musterv1.ErrorDetail); ok {
			return detail
		}
	}
	return nil
}

// final tells that a refresh token is good for nothing any more.
func final(err error) bool {
	switch Reason(err) {
	case musterv1.Reason_REASON_SESSION_REVOKED, musterv1.Reason_REASON_REFRESH_TOKEN_REUSED,
		musterv1.Reason_REASON_TOKEN_EXPIRED, musterv1.Reason_REASON_TOKEN_INVALID, musterv1.Reason_REASON_ACCOUNT_INACTIVE:
		return true
	default:
		return false
	}
}
