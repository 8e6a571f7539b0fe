package reason

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"syscall"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/telemetry"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Final is the one map from whatever went wrong to what the client is told. It
// adds the request id and logs the causes of INTERNAL and UNAVAILABLE as
// errors, of all others for debugging only.
func Final(ctx context.Context, logger *slog.Logger, err error) *connect.Error {
	requestID := telemetry.RequestFrom(ctx).ID
	if relayed, ok := relay(err, requestID); ok {
		return relayed
	}
	f := classify(ctx, err)
	entry := lookUp(f.reason)
	if f.cause != nil {
		level := slog.LevelDebug
		if f.reason == musterv1.Reason_REASON_INTERNAL || f.reason == musterv1.Reason_REASON_UNAVAILABLE {
			level = slog.LevelError
		}
		logger.Log(ctx, level, "call failed", "reason", entry.name, "cause", f.cause.Error())
	}
	sent := f.seal(entry, requestID)
	// What a handler put on its own error, a cookie for example, stays there.
	var own *connect.Error
	if errors.As(err, &own) && !connect.IsWireError(own) {
		for name, values := range own.Meta() {
			sent.Meta()[name] = values
		}
	}
	return sent
}

// relay passes on a reason that somebody else has given, under this request's
// id: another service, or a library that knows the table but not this package.
func relay(err error, requestID string) (*connect.Error, bool) {
	var f *fault
	if errors.As(err, &f) {
		return nil, false
	}
	var received *connect.Error
	detail, ok := DetailOf(err)
	if !ok || detail.GetReason() == "" || !errors.As(err, &received) {
		return nil, false
	}
	detail.RequestId = requestID
	sent := connect.NewError(received.Code(), errors.New(received.Message()))
	attach(sent, detail)
	return sent, true
}

func classify(ctx context.Context, err error) *fault {
	var (
		own        *fault
		violations *protovalidate.ValidationError
		coded      *connect.Error
		dial       *net.OpError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &violations):
		return violation(violations)
	case errors.As(err, &coded):
		return classifyCode(ctx, coded)
	case errors.Is(err, context.DeadlineExceeded):
		return because(musterv1.Reason_REASON_DEADLINE_EXCEEDED, err)
	case errors.Is(err, context.Canceled):
		return givenUp(ctx, err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.ErrUnexpectedEOF), // a connection that ended within an answer
		errors.As(err, &dial) && dial.Op == "dial", isAway(err):
		return because(musterv1.Reason_REASON_UNAVAILABLE, err)
	case stateOf(err) == "22021": // character_not_in_repertoire: what JSON and protobuf can carry, and PostgreSQL cannot
		invalid := because(musterv1.Reason_REASON_INVALID_ARGUMENT, err)
		invalid.message = "A text holds a character that cannot be kept: U+0000"
		return invalid
	default:
		return because(musterv1.Reason_REASON_INTERNAL, err)
	}
}

// isAway tells whether PostgreSQL takes no call at present: it stops or starts,
// has no connection left, or the database is not there.
func isAway(err error) bool {
	state := stateOf(err)
	for _, class := range []string{"08", "53", "57P", "3D000"} {
		if strings.HasPrefix(state, class) {
			return true
		}
	}
	return false
}

// stateOf is PostgreSQL's code of an error; empty for one that is not its own.
func stateOf(err error) string {
	var answered interface{ SQLState() string }
	if !errors.As(err, &answered) {
		return ""
	}
	return answered.SQLState()
}

// classifyCode is for errors of Connect's own: of a generated handler that
// lacks the method, or of a client with which this handler has called another
// service. Only what is told without a reason comes here.
func classifyCode(ctx context.Context, err *connect.Error) *fault {
	switch err.Code() {
	case connect.CodeCanceled:
		return givenUp(ctx, err)
	case connect.CodeDeadlineExceeded:
		return because(musterv1.Reason_REASON_DEADLINE_EXCEEDED, err)
	case connect.CodeUnavailable:
		return because(musterv1.Reason_REASON_UNAVAILABLE, err)
	case connect.CodeUnimplemented:
		if !connect.IsWireError(err) {
			return because(musterv1.Reason_REASON_UNIMPLEMENTED, err)
		}
	case connect.CodeInternal:
		// What our own client calls a fault of the protocol where it was cut off.
		if !connect.IsWireError(err) && errors.Is(err, io.ErrUnexpectedEOF) {
			return because(musterv1.Reason_REASON_UNAVAILABLE, err)
		}
	}
	return because(musterv1.Reason_REASON_INTERNAL, err)
}

// givenUp tells a caller that has gone from a server that shuts down, which
// ends its calls with a cause of its own, and from a call inside that somebody
// else has ended.
func givenUp(ctx context.Context, err error) *fault {
	switch {
	case ctx.Err() == nil:
		return because(musterv1.Reason_REASON_UNAVAILABLE, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return because(musterv1.Reason_REASON_DEADLINE_EXCEEDED, err)
	case !errors.Is(context.Cause(ctx), context.Canceled):
		return because(musterv1.Reason_REASON_UNAVAILABLE, nil)
	default:
		return because(musterv1.Reason_REASON_CANCELED, err)
	}
}

func because(r musterv1.Reason, cause error) *fault {
	return &fault{reason: r, message: lookUp(r).message, cause: cause}
}

// violation names the first rule that is broken. The rule's own sentence never
// holds the value.
func violation(err *protovalidate.ValidationError) *fault {
	f := because(musterv1.Reason_REASON_INVALID_ARGUMENT, nil)
	if len(err.Violations) == 0 {
		return f
	}
	first := err.Violations[0].Proto
	f.field = jsonPath(protovalidate.FieldPathString(first.GetField()))
	if rule := first.GetMessage(); rule != "" {
		f.message = strings.TrimSpace(f.field + " " + strings.TrimPrefix(rule, "value "))
	}
	return f
}

// jsonPath spells a path of proto names as protobuf's JSON does: profile.first_name
// is profile.firstName. A map's key is what the caller sent, so it is left out.
func jsonPath(path string) string {
	var out strings.Builder
	upper := false
	for _, char := range mapKey.ReplaceAllString(path, "") {
		switch {
		case char == '_':
			upper = true
		case upper:
			out.WriteString(strings.ToUpper(string(char)))
			upper = false
		default:
			out.WriteRune(char)
		}
	}
	return out.String()
}

var mapKey = regexp.MustCompile(`\["(?:[^"\\]|\\.)*"\]`)
