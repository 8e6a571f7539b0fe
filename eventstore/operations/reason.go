package operations

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore/internal/reason"
	"github.com/muster-id/muster/eventstore/projection"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// The fields that name a projection: by one of them NOT_FOUND tells that the
	// service has no such projection, so that the next service may be asked.
	nameField, projectionField = "name", "projection"
	// streamField tells that the projection is there, and no such event is parked.
	streamField = "stream"
	// versionField tells that another event of the stream is parked.
	versionField = "version"
	// busyRetry is when the log may have calmed down.
	busyRetry = time.Second
)

var errUnknown = errors.New("there is no such projection")

// unknown is the refusal of a name that none of the projections has.
func unknown(field string) error {
	return reason.New(musterv1.Reason_REASON_NOT_FOUND, sentence(errUnknown), &musterv1.ErrorDetail{Field: field})
}

// refusal is the one map from a projector's errors to reasons. What is not on
// it is a fault of ours, and the server's interceptors answer it as one.
func refusal(err error) error {
	if underWay := (*projection.UnderWayError)(nil); errors.As(err, &underWay) {
		return reason.New(musterv1.Reason_REASON_OPERATION_UNDER_WAY, sentence(underWay), nil)
	}
	if other := (*projection.OtherParkedError)(nil); errors.As(err, &other) {
		return reason.New(musterv1.Reason_REASON_NOT_FOUND, sentence(other), &musterv1.ErrorDetail{Field: versionField})
	}
	if other := (*projection.OtherFormerError)(nil); errors.As(err, &other) {
		return reason.New(musterv1.Reason_REASON_NO_FORMER_GENERATION, sentence(other), nil)
	}
	switch {
	case errors.Is(err, projection.ErrNothingUnderWay):
		return reason.New(musterv1.Reason_REASON_NOTHING_UNDER_WAY, nil, nil)
	case errors.Is(err, projection.ErrNoFormer):
		return reason.New(musterv1.Reason_REASON_NO_FORMER_GENERATION, nil, nil)
	case errors.Is(err, projection.ErrNotParked):
		return reason.New(musterv1.Reason_REASON_NOT_FOUND, sentence(projection.ErrNotParked), &musterv1.ErrorDetail{Field: streamField})
	case errors.Is(err, projection.ErrAway):
		// The interceptors make the reason of it, and log what is away.
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, projection.ErrBusy):
		// Not CONFLICT: nobody changed anything, the rows are behind by a moment.
		return reason.New(musterv1.Reason_REASON_NOT_CAUGHT_UP, sentence(projection.ErrBusy), &musterv1.ErrorDetail{RetryAfterMs: busyRetry.Milliseconds()})
	}
	return err
}

// sentence gives an error the capital that messages to clients have.
func sentence(err error) error {
	text := err.Error()
	return errors.New(strings.ToUpper(text[:1]) + text[1:])
}
