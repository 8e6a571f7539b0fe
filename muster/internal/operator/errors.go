package operator

import (
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// What Client and Projection refuse by themselves.
var (
	// ErrNoProjection: no service that answers has one of that name.
	ErrNoProjection = errors.New("there is no such projection")
	// ErrNotParked: no event of the stream is parked.
	ErrNotParked = errors.New("no event of this stream is parked")
	// ErrAmbiguous: more than one projection has the stream parked.
	ErrAmbiguous = errors.New("more than one projection has this stream parked")
	// ErrReplaced: what is under way, or was last, is another operation by now.
	ErrReplaced = errors.New("the service does not know of this operation any more")
)

// ServiceError is what a service answered, or that it did not.
type ServiceError struct {
	// Service is its name.
	Service string
	// Err is the error of the call.
	Err error
}

// Error says who it was, what is wrong and what to do next.
func (e *ServiceError) Error() string {
	detail, refused := reason.DetailOf(e.Err)
	var coded *connect.Error
	switch {
	case !errors.As(e.Err, &coded):
		return fmt.Sprintf("%s: %v", e.Service, e.Err)
	case refused:
		return fmt.Sprintf("%s: %s. %s", e.Service, strings.TrimSuffix(coded.Message(), "."), next(detail))
	case coded.Code() == connect.CodeUnavailable || coded.Code() == connect.CodeDeadlineExceeded:
		return fmt.Sprintf("%s does not answer: %s", e.Service, coded.Message())
	default:
		return fmt.Sprintf("%s: %v", e.Service, coded)
	}
}

// next is what to do next: in commands, where the service tells of its API's methods.
func next(refusal *musterv1.ErrorDetail) string {
	switch musterv1.Reason(musterv1.Reason_value["REASON_"+refusal.GetReason()]) {
	case musterv1.Reason_REASON_OPERATION_UNDER_WAY:
		return "`muster projection list` tells how far it is, and `muster projection cancel NAME` gives it up."
	case musterv1.Reason_REASON_NOTHING_UNDER_WAY:
		return "`muster projection list` shows what was done last."
	case musterv1.Reason_REASON_NO_FORMER_GENERATION:
		return "Only a rebuild leaves some, until they are dropped; `muster projection list` shows their generation."
	case musterv1.Reason_REASON_NOT_CAUGHT_UP:
		return "Run the command again after a moment; `muster projection list` tells how far behind it is."
	case musterv1.Reason_REASON_NOT_FOUND:
		switch refusal.GetField() {
		case "stream", "version":
			return "`muster parked list` shows what is parked."
		case "userId", "loginName":
			return "Who was erased has no name any more, and is found by the id."
		case "at":
			return "Name a later time with --at."
		}
		return "`muster projection list` shows the names that there are."
	case musterv1.Reason_REASON_EPOCH_CHANGED:
		return "`muster log status` tells what has happened to it; then run the command again."
	case musterv1.Reason_REASON_INTERNAL: // whoever works here is the operator
		return fmt.Sprintf("The log of the service tells what, under request id %s.", refusal.GetRequestId())
	}
	return refusal.GetNext()
}

// Unwrap gives the error of the call.
func (e *ServiceError) Unwrap() error { return e.Err }

// from wraps the error of a call of that service.
func from(service string, err error) error {
	if err == nil {
		return nil
	}
	return &ServiceError{Service: service, Err: err}
}

// passing tells whether an error may be gone at the next try: whatever a service
// fails with, but not that it refuses us.
func passing(err error) bool {
	var of *ServiceError
	if !errors.As(err, &of) {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeUnimplemented:
		return false
	}
	return true
}
