package reason

import (
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// fault is the underlying error of one that this process made: its text goes
// over the wire, its cause to the log only.
type fault struct {
	reason     musterv1.Reason
	message    string
	field      string
	retryAfter time.Duration
	cause      error
}

func (f *fault) Error() string { return f.message }

func (f *fault) Unwrap() error { return f.cause }

// Option adds to an error.
type Option func(*fault)

// Field names the request field at fault in JSON spelling, `firstName`; nested
// ones as a path, `profile.firstName`.
func Field(jsonName string) Option { return func(f *fault) { f.field = jsonName } }

// RetryAfter says how long to wait before the next try.
func RetryAfter(d time.Duration) Option { return func(f *fault) { f.retryAfter = d } }

// Message replaces the table's sentence. It must not repeat what the caller sent.
func Message(text string) Option { return func(f *fault) { f.message = text } }

// Cause keeps what went wrong inside: logged with the request id, never sent.
func Cause(err error) Option { return func(f *fault) { f.cause = err } }

// New makes the error of a reason, with the code and the texts that the table
// in muster/v1/errors.proto gives it. The interceptor adds the request id.
func New(r musterv1.Reason, opts ...Option) *connect.Error {
	entry := lookUp(r)
	f := &fault{reason: entry.reason, message: entry.message}
	for _, opt := range opts {
		opt(f)
	}
	return f.seal(entry, "")
}

// Of tells the reason of an error, made here or received from another
// service; 0 when it has none.
func Of(err error) musterv1.Reason {
	var f *fault
	if errors.As(err, &f) {
		return f.reason
	}
	detail, ok := DetailOf(err)
	if !ok {
		return musterv1.Reason_REASON_UNSPECIFIED
	}
	return musterv1.Reason(musterv1.Reason_value[prefix+detail.GetReason()])
}

// DetailOf gives the detail that an error carries, if any.
func DetailOf(err error) (*musterv1.ErrorDetail, bool) {
	var sent *connect.Error
	if !errors.As(err, &sent) {
		return nil, false
	}
	for _, detail := range sent.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // a detail of a type that this process does not know
		}
		if found, ok := value.(*musterv1.ErrorDetail); ok {
			return found, true
		}
	}
	return nil, false
}

// seal makes the error that goes over the wire.
func (f *fault) seal(entry entry, requestID string) *connect.Error {
	sent := connect.NewError(entry.code, f)
	attach(sent, &musterv1.ErrorDetail{
		Reason:       entry.name,
		Field:        f.field,
		RequestId:    requestID,
		Next:         entry.next,
		RetryAfterMs: f.retryAfter.Milliseconds(),
	})
	return sent
}

// attach adds the detail, and Retry-After (RFC 9110, section 10.2.3, in whole
// seconds, rounded up) where there is one.
func attach(sent *connect.Error, detail *musterv1.ErrorDetail) {
	if packed, err := connect.NewErrorDetail(detail); err == nil { // fails for invalid UTF-8 only
		sent.AddDetail(packed)
	}
	if ms := detail.GetRetryAfterMs(); ms > 0 {
		sent.Meta().Set("Retry-After", fmt.Sprint((ms+999)/1000))
	}
}
