package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// exchange is what the server's middleware and the interceptors know of one
// request together.
type exchange struct {
	logger     *slog.Logger
	controller *http.ResponseController
	// procedure is set once a Connect handler has the call.
	procedure string
	// answered is set once the answer is in the hands of the interceptors.
	answered bool
	// err is what was answered; nil for a success.
	err *connect.Error
}

// maxLoggedPath keeps a stranger's path from filling the log.
const maxLoggedPath = 128

type exchangeKey struct{}

func withExchange(ctx context.Context, e *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e)
}

// exchangeOf gives one that nobody reads where a handler is tried without a Server.
func exchangeOf(ctx context.Context) *exchange {
	if e, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return e
	}
	return &exchange{logger: slog.New(slog.DiscardHandler)}
}

// fail makes err the answer.
func (e *exchange) fail(ctx context.Context, logger *slog.Logger, err error) *connect.Error {
	e.answered = true
	e.err = reason.Final(ctx, logger, err)
	return e.err
}

// log writes the line of a finished request: errors for all to see, successes
// for who looks closer.
func (e *exchange) log(ctx context.Context, r *http.Request, status int, took time.Duration) {
	name := e.procedure
	if name == "" {
		name = r.URL.Path[:min(len(r.URL.Path), maxLoggedPath)]
	}
	attrs := []slog.Attr{slog.String("http_method", r.Method), slog.String("call", name), slog.Duration("took", took)}
	if e.err == nil && status < http.StatusBadRequest {
		e.logger.LogAttrs(ctx, slog.LevelDebug, "call answered", attrs...)
		return
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("code", e.err.Code().String()))
		if detail, ok := reason.DetailOf(e.err); ok {
			attrs = append(attrs, slog.String("reason", detail.GetReason()))
		}
	} else {
		attrs = append(attrs, slog.Int("status", status))
	}
	e.logger.LogAttrs(ctx, slog.LevelInfo, "call refused", attrs...)
}

// plainHTTP stands for the procedure of what is no RPC.
const plainHTTP = "http"

// code is the outcome in one word, of a set that no caller can widen: ok, a
// Connect code, or the HTTP status of what is no RPC.
func (e *exchange) code(status int) string {
	switch {
	case e.err != nil:
		return e.err.Code().String()
	case status >= http.StatusBadRequest:
		return strconv.Itoa(status)
	}
	return "ok"
}

// trace names the span and gives it the outcome. What a caller has done wrong is
// no error of the span.
func (e *exchange) trace(ctx context.Context, status int) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if e.procedure != "" {
		span.SetName(strings.TrimPrefix(e.procedure, "/"))
	}
	if status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if e.err == nil {
		return
	}
	span.SetAttributes(attribute.String("rpc.response.status_code", e.err.Code().String()))
	if detail, ok := reason.DetailOf(e.err); ok {
		span.SetAttributes(attribute.String("muster.reason", detail.GetReason()))
	}
	switch e.err.Code() {
	case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeUnavailable, connect.CodeDataLoss:
		span.SetStatus(codes.Error, e.err.Code().String())
	}
}

// note keeps what reason.Final has made of a handler's error.
func (e *exchange) note(err error) {
	if err == nil {
		return
	}
	if !errors.As(err, &e.err) {
		e.err = reason.New(musterv1.Reason_REASON_INTERNAL)
	}
}
