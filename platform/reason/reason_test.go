package reason_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/telemetry"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestEveryReasonHasItsCodeAndItsTexts(t *testing.T) {
	t.Parallel()
	values := musterv1.Reason(0).Descriptor().Values()
	for i := range values.Len() {
		value := values.Get(i)
		if value.Number() == 0 {
			continue
		}
		option, _ := proto.GetExtension(value.Options(), optionsv1.E_Reason).(*optionsv1.Reason)
		var code connect.Code
		if err := code.UnmarshalText([]byte(option.GetCode())); err != nil || strings.HasPrefix(option.GetCode(), "code_") {
			t.Errorf("%s: code %q", value.Name(), option.GetCode())
		}
		if option.GetMessage() == "" || option.GetNext() == "" {
			t.Errorf("%s lacks a text", value.Name())
		}
		r := musterv1.Reason(value.Number())
		err := reason.New(r)
		detail, _ := reason.DetailOf(err)
		if err.Code() != code || err.Message() != option.GetMessage() || detail.GetNext() != option.GetNext() ||
			"REASON_"+detail.GetReason() != string(value.Name()) || reason.Of(err) != r {
			t.Errorf("%s became %v with %v", value.Name(), err, detail)
		}
	}
}

func TestAReasonThatIsNotInTheTableIsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	for _, r := range []musterv1.Reason{musterv1.Reason_REASON_UNSPECIFIED, 9999} {
		if err := reason.New(r); reason.Of(err) != musterv1.Reason_REASON_INTERNAL || err.Code() != connect.CodeInternal {
			t.Errorf("%v became %v", r, err)
		}
	}
}

func TestOfFindsAReasonInsideOtherErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("23505")
	err := fmt.Errorf("register: %w", reason.New(musterv1.Reason_REASON_USERNAME_TAKEN, reason.Cause(cause)))
	if reason.Of(err) != musterv1.Reason_REASON_USERNAME_TAKEN {
		t.Errorf("got %v", reason.Of(err))
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost inside the process")
	}
	for _, other := range []error{nil, cause, connect.NewError(connect.CodeNotFound, cause)} {
		if got := reason.Of(other); got != 0 {
			t.Errorf("%v has reason %v", other, got)
		}
	}
}

// final maps an error for request r1 and gives what was sent and what was logged.
func final(ctx context.Context, err error) (*connect.Error, *musterv1.ErrorDetail, string) {
	var log bytes.Buffer
	logger := telemetry.NewLogger(&log, slog.LevelInfo, telemetry.Text)
	ctx = telemetry.WithRequest(ctx, telemetry.Request{ID: "request-1"})
	sent := reason.Final(ctx, logger, err)
	detail, _ := reason.DetailOf(sent)
	return sent, detail, log.String()
}

func TestWhatTheClientIsTold(t *testing.T) {
	t.Parallel()
	canary := errors.New("canary")
	tests := map[string]struct {
		err    error
		want   musterv1.Reason
		logged bool
	}{
		"our own":                       {reason.New(musterv1.Reason_REASON_EMAIL_TAKEN, reason.Cause(canary)), musterv1.Reason_REASON_EMAIL_TAKEN, false},
		"our own, wrapped":              {fmt.Errorf("canary: %w", reason.New(musterv1.Reason_REASON_EMAIL_TAKEN)), musterv1.Reason_REASON_EMAIL_TAKEN, false},
		"our own INTERNAL":              {reason.New(musterv1.Reason_REASON_INTERNAL, reason.Cause(canary)), musterv1.Reason_REASON_INTERNAL, true},
		"anything else":                 {canary, musterv1.Reason_REASON_INTERNAL, true},
		"a code without a reason":       {connect.NewError(connect.CodeNotFound, canary), musterv1.Reason_REASON_INTERNAL, true},
		"a method that is not there":    {connect.NewError(connect.CodeUnimplemented, canary), musterv1.Reason_REASON_UNIMPLEMENTED, false},
		"another service lacks it":      {connect.NewWireError(connect.CodeUnimplemented, canary), musterv1.Reason_REASON_INTERNAL, true},
		"another service is away":       {connect.NewError(connect.CodeUnavailable, canary), musterv1.Reason_REASON_UNAVAILABLE, true},
		"connection refused":            {fmt.Errorf("canary: %w", syscall.ECONNREFUSED), musterv1.Reason_REASON_UNAVAILABLE, true},
		"a connection that is cut":      {fmt.Errorf("canary: %w", io.ErrUnexpectedEOF), musterv1.Reason_REASON_UNAVAILABLE, true},
		"an answer that is cut":         {connect.NewError(connect.CodeInternal, fmt.Errorf("canary: %w", io.ErrUnexpectedEOF)), musterv1.Reason_REASON_UNAVAILABLE, true},
		"a fault of another service":    {connect.NewWireError(connect.CodeInternal, fmt.Errorf("canary: %w", io.ErrUnexpectedEOF)), musterv1.Reason_REASON_INTERNAL, true},
		"a connection that is closed":   {fmt.Errorf("canary: %w", syscall.EPIPE), musterv1.Reason_REASON_UNAVAILABLE, true},
		"a database that shuts down":    {fmt.Errorf("canary: %w", &pgconn.PgError{Code: "57P01"}), musterv1.Reason_REASON_UNAVAILABLE, true},
		"a database that is not there":  {fmt.Errorf("canary: %w", &pgconn.PgError{Code: "3D000"}), musterv1.Reason_REASON_UNAVAILABLE, true},
		"a character that is none":      {fmt.Errorf("canary: %w", &pgconn.PgError{Code: "22021"}), musterv1.Reason_REASON_INVALID_ARGUMENT, false},
		"a statement that is wrong":     {fmt.Errorf("canary: %w", &pgconn.PgError{Code: "42601"}), musterv1.Reason_REASON_INTERNAL, true},
		"no such host":                  {&net.OpError{Op: "dial", Err: canary}, musterv1.Reason_REASON_UNAVAILABLE, true},
		"a time-out":                    {fmt.Errorf("canary: %w", context.DeadlineExceeded), musterv1.Reason_REASON_DEADLINE_EXCEEDED, false},
		"a time-out of another service": {connect.NewWireError(connect.CodeDeadlineExceeded, canary), musterv1.Reason_REASON_DEADLINE_EXCEEDED, false},
		"an end that is not the caller": {context.Canceled, musterv1.Reason_REASON_UNAVAILABLE, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, detail, log := final(t.Context(), test.err)
			if got := reason.Of(sent); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if detail.GetRequestId() != "request-1" {
				t.Errorf("the request id is %q", detail.GetRequestId())
			}
			if strings.Contains(sent.Error(), "canary") || len(sent.Details()) != 1 {
				t.Errorf("sent %v with %d details", sent, len(sent.Details()))
			}
			if logged := strings.Contains(log, "level=ERROR") && strings.Contains(log, "request_id=request-1"); logged != test.logged {
				t.Errorf("logged as an error: %v, want %v: %s", logged, test.logged, log)
			}
		})
	}
}

func TestWhoEndedACall(t *testing.T) {
	t.Parallel()
	caller, hangUp := context.WithCancel(t.Context())
	hangUp()
	server, stop := context.WithCancelCause(t.Context())
	stop(errors.New("stopping"))
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for name, test := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a row of the table
		want musterv1.Reason
	}{
		"the caller":   {caller, musterv1.Reason_REASON_CANCELED},
		"the server":   {server, musterv1.Reason_REASON_UNAVAILABLE},
		"the time-out": {late, musterv1.Reason_REASON_DEADLINE_EXCEEDED},
	} {
		for _, err := range []error{context.Canceled, connect.NewError(connect.CodeCanceled, context.Canceled)} {
			if sent, _, _ := final(test.ctx, err); reason.Of(sent) != test.want {
				t.Errorf("%s: got %v, want %v", name, reason.Of(sent), test.want)
			}
		}
	}
}

func TestAnotherServicesReasonIsPassedOnUnderThisRequestsID(t *testing.T) {
	t.Parallel()
	received := connect.NewWireError(connect.CodeResourceExhausted, errors.New("Too many sign-ins at once"))
	told, err := connect.NewErrorDetail(&musterv1.ErrorDetail{
		Reason: "OVERLOADED", Field: "password", Next: "wait", RetryAfterMs: 1500, RequestId: "theirs",
	})
	if err != nil {
		t.Fatal(err)
	}
	other, err := connect.NewErrorDetail(&keyringv1.Key{KeyId: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	received.AddDetail(other)
	received.AddDetail(told)
	received.Meta().Set("X-Canary", "canary")
	sent, detail, log := final(t.Context(), fmt.Errorf("log in: %w", received))
	want := &musterv1.ErrorDetail{Reason: "OVERLOADED", Field: "password", Next: "wait", RetryAfterMs: 1500, RequestId: "request-1"}
	if !proto.Equal(detail, want) || sent.Code() != connect.CodeResourceExhausted || sent.Message() != "Too many sign-ins at once" {
		t.Errorf("sent %v with %v", sent, detail)
	}
	if sent.Meta().Get("Retry-After") != "2" {
		t.Errorf("Retry-After is %q, want the seconds rounded up", sent.Meta().Get("Retry-After"))
	}
	if len(sent.Details()) != 1 || sent.Meta().Get("X-Canary") != "" || log != "" {
		t.Errorf("more than the reason was passed on: %v, %v, %s", sent.Details(), sent.Meta(), log)
	}
}

// A library may not import this package, but gives reasons of the table: the
// event log's "start from the beginning" is one.
func TestAReasonGivenByALibraryInThisProcessIsPassedOn(t *testing.T) {
	t.Parallel()
	given := connect.NewError(connect.CodeFailedPrecondition, errors.New("start again"))
	told, err := connect.NewErrorDetail(&musterv1.ErrorDetail{Reason: "EPOCH_CHANGED", Next: "start"})
	if err != nil {
		t.Fatal(err)
	}
	given.AddDetail(told)
	sent, detail, _ := final(t.Context(), given)
	if sent.Code() != connect.CodeFailedPrecondition || detail.GetReason() != "EPOCH_CHANGED" || detail.GetRequestId() != "request-1" {
		t.Errorf("sent %v with %v", sent, detail)
	}
}

func TestAHandlersHeadersStayOnItsError(t *testing.T) {
	t.Parallel()
	err := reason.New(musterv1.Reason_REASON_SESSION_REVOKED)
	err.Meta().Set("Set-Cookie", "refresh=; Max-Age=0")
	if sent, _, _ := final(t.Context(), err); sent.Meta().Get("Set-Cookie") == "" {
		t.Error("the cookie is lost")
	}
}

func TestABrokenRuleNamesTheFieldAndNotTheValue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request proto.Message
		field   string
		message string
	}{
		"too short": {
			&identityv1.ChangePasswordRequest{PresentPassword: "x", NewPassword: "canary"},
			"newPassword", "newPassword must be at least 8 characters",
		},
		"in a list": {
			&keyringv1.GetKeysRequest{KeyIds: []string{"canary"}},
			"keyIds[0]", "keyIds[0] must be a valid UUID",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, detail, _ := final(t.Context(), protovalidate.Validate(test.request))
			if reason.Of(sent) != musterv1.Reason_REASON_INVALID_ARGUMENT || detail.GetField() != test.field || sent.Message() != test.message {
				t.Errorf("got %v, field %q", sent, detail.GetField())
			}
			if strings.Contains(sent.Error(), "canary") {
				t.Errorf("the value is repeated: %v", sent)
			}
		})
	}
}

func TestWhatConnectCannotReadIsToldWithoutTheValue(t *testing.T) {
	t.Parallel()
	for text, test := range map[string]struct {
		code  connect.Code
		want  musterv1.Reason
		field string
	}{
		`unmarshal message: proto: (line 1:2): unknown field "pasword"`:                                    {connect.CodeInvalidArgument, musterv1.Reason_REASON_UNKNOWN_FIELD, "pasword"},
		`unmarshal message: proto: (line 1:2): unknown field "canary canary"`:                              {connect.CodeInvalidArgument, musterv1.Reason_REASON_UNKNOWN_FIELD, ""},
		`unmarshal message: proto: (line 1:2): invalid value for string field newPassword: {"x":"canary"}`: {connect.CodeInvalidArgument, musterv1.Reason_REASON_INVALID_ARGUMENT, "newPassword"},
		`unmarshal message: proto: syntax error (line 1:1): unexpected token canary`:                       {connect.CodeInvalidArgument, musterv1.Reason_REASON_INVALID_ARGUMENT, ""},
		`message size 5 is larger than configured max 4`:                                                   {connect.CodeResourceExhausted, musterv1.Reason_REASON_BODY_TOO_LARGE, ""},
		`unknown compression "canary"`:                                                                     {connect.CodeUnimplemented, musterv1.Reason_REASON_INVALID_ARGUMENT, ""},
		`context canceled`:                                                                                 {connect.CodeCanceled, musterv1.Reason_REASON_CANCELED, ""},
		`context deadline exceeded`:                                                                        {connect.CodeDeadlineExceeded, musterv1.Reason_REASON_DEADLINE_EXCEEDED, ""},
	} {
		err := reason.Unreadable(test.code, text)
		detail, _ := reason.DetailOf(err)
		if reason.Of(err) != test.want || detail.GetField() != test.field || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, field %q", text, err, detail.GetField())
		}
	}
}
