package reason

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// NewInterceptor passes every error that leaves a handler through Final, a
// panic too. A unary request that cannot be decoded never reaches it: Connect
// decodes before its interceptors run, and platform/serve answers those.
func NewInterceptor(logger *slog.Logger) connect.Interceptor { return &interceptor{logger: logger} }

type interceptor struct{ logger *slog.Logger }

var _ connect.Interceptor = (*interceptor)(nil)

// WrapUnary maps the error of one call.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		var response connect.AnyResponse
		err := caught(func() (err error) {
			response, err = next(ctx, request)
			return err
		})
		if err != nil {
			return nil, Final(ctx, i.logger, err)
		}
		return response, nil
	}
}

// WrapStreamingClient leaves clients alone.
func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler maps the error that ends a stream.
func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := caught(func() error { return next(ctx, &readable{conn}) }); err != nil {
			return Final(ctx, i.logger, err)
		}
		return nil
	}
}

// readable turns Connect's error for a message that it cannot read into ours.
type readable struct{ connect.StreamingHandlerConn }

func (r *readable) Receive(message any) error {
	err := r.StreamingHandlerConn.Receive(message)
	var refused *connect.Error
	if err == nil || errors.Is(err, io.EOF) || !errors.As(err, &refused) {
		return err
	}
	return Unreadable(refused.Code(), refused.Message())
}

// caught turns a panic into INTERNAL. http.ErrAbortHandler is net/http's own
// signal and goes on.
func caught(call func() error) (err error) {
	defer func() {
		switch panicked := recover(); panicked {
		case nil:
		case http.ErrAbortHandler: //nolint:errorlint // net/http compares it so
			panic(panicked)
		default:
			err = New(musterv1.Reason_REASON_INTERNAL, Cause(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())))
		}
	}()
	return call()
}
