package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/token"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	defaultMaxRequestBytes = 1 << 20
	defaultTimeout         = 10 * time.Second
	// longestTimeout bounds what a caller may ask for.
	longestTimeout = time.Minute
	// sendTimeout bounds how long one message of a stream may take to write.
	sendTimeout = 30 * time.Second
)

// Config of the interceptors.
type Config struct {
	// Logger takes the causes of errors.
	Logger *slog.Logger
	// Verifier checks access tokens; nil for a service that serves no person.
	Verifier access.Verifier
	// MaxRequestBytes bounds a request message, decompressed; 1 MiB if 0.
	MaxRequestBytes int
	// Timeout bounds a unary call whose caller gave no time-out; 10 s if 0. A
	// caller's own may be longer, up to a minute.
	Timeout time.Duration
}

// Interceptors is what every handler of a service is made with: the access
// gate, then reasons with recovery, the time-out, and the rules of protovalidate.
// Unknown fields are tolerated, for mixed versions; the public JSON, where they
// are typing errors, has a codec of the gateway's.
func Interceptors(config Config) connect.HandlerOption {
	if config.MaxRequestBytes == 0 {
		config.MaxRequestBytes = defaultMaxRequestBytes
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	return connect.WithHandlerOptions(
		connect.WithReadMaxBytes(config.MaxRequestBytes),
		packing(config.MaxRequestBytes),
		connect.WithRequestGate(gate(config)),
		connect.WithInterceptors(
			outcome{},
			reason.NewInterceptor(config.Logger),
			timeout(config.Timeout),
			rules{},
		),
	)
}

// gate names the call for log, trace and metrics, then asks access. Its errors
// reach no interceptor, so they get their reason here.
func gate(config Config) connect.RequestGateFunc {
	ask := access.NewGate(access.Config{Verifier: config.Verifier})
	return func(ctx context.Context, spec connect.Spec, peer connect.Peer, header http.Header) (context.Context, error) {
		e := exchangeOf(ctx)
		e.procedure = spec.Procedure
		passed, err := ask(ctx, spec, peer, header)
		if err != nil {
			return nil, e.fail(ctx, config.Logger, err)
		}
		return passed, nil
	}
}

// outcome tells the server's middleware what became of a call. It is the
// outermost, so what it sees is what the client gets.
type outcome struct{}

var _ connect.Interceptor = outcome{}

// WrapUnary notes the answer.
func (outcome) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		e := exchangeOf(ctx)
		e.answered = true
		e.procedure = request.Spec().Procedure // those outside the gate have one too
		response, err := next(ctx, request)
		e.note(err)
		return response, err
	}
}

// WrapStreamingClient leaves clients alone.
func (outcome) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler notes the answer. A stream may last longer than the
// server's write time-out, so each message gets one of its own.
func (outcome) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		e := exchangeOf(ctx)
		e.answered = true
		e.procedure = conn.Spec().Procedure
		if e.controller == nil {
			return next(ctx, conn)
		}
		// Of a writer that has no deadlines the server's own stays.
		_ = e.controller.SetWriteDeadline(time.Time{})
		err := next(ctx, &patient{
			StreamingHandlerConn: conn, controller: e.controller,
			ending: func(end func()) (stop func() bool) { return context.AfterFunc(ctx, end) },
		})
		_ = e.controller.SetWriteDeadline(time.Now().Add(sendTimeout))
		e.note(err)
		return err
	}
}

type patient struct {
	connect.StreamingHandlerConn
	controller *http.ResponseController
	// ending calls when the call's context ends.
	ending func(func()) (stop func() bool)
}

// Send gives the message a time-out of its own, and soon after the end of the
// call's context gives up one that the client does not take: else it would hold
// up a shutdown.
func (p *patient) Send(message any) error {
	_ = p.controller.SetWriteDeadline(time.Now().Add(sendTimeout))
	ended := make(chan struct{})
	stop := p.ending(func() {
		defer close(ended)
		_ = p.controller.SetWriteDeadline(time.Now().Add(drainTime))
	})
	err := p.StreamingHandlerConn.Send(message)
	if stop() {
		_ = p.controller.SetWriteDeadline(time.Time{})
	} else {
		<-ended // the writer must not be touched once its handler is done
	}
	return err
}

// timeout bounds unary calls. Streams end with their client or their handler, and
// with the token that they were asked for with: a call under it would be refused.
type timeout time.Duration

var _ connect.Interceptor = timeout(0)

// WrapUnary bounds the call.
func (t timeout) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		bound := time.Duration(t)
		if _, given := ctx.Deadline(); given {
			bound = max(bound, longestTimeout)
		}
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		return next(ctx, request)
	}
}

// WrapStreamingClient leaves clients alone.
func (timeout) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler ends the stream with the token.
func (timeout) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		principal, ok := access.PrincipalFrom(ctx)
		if !ok || principal.ExpiresAt.IsZero() {
			return next(ctx, conn)
		}
		ctx, cancel := context.WithDeadlineCause(ctx, principal.ExpiresAt, token.ErrExpired)
		defer cancel()
		err := next(ctx, conn)
		if err != nil && errors.Is(context.Cause(ctx), token.ErrExpired) {
			return reason.New(musterv1.Reason_REASON_TOKEN_EXPIRED)
		}
		return err
	}
}

// rules checks requests against the rules in their proto. The validator is the
// process's one: it compiles each message's rules once.
type rules struct{}

var _ connect.Interceptor = rules{}

// WrapUnary checks the request.
func (rules) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := validate(request.Any()); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingClient leaves clients alone.
func (rules) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler checks each message received.
func (rules) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, ruled{conn})
	}
}

type ruled struct{ connect.StreamingHandlerConn }

func (r ruled) Receive(message any) error {
	if err := r.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return validate(message)
}

func validate(message any) error {
	if message, ok := message.(proto.Message); ok {
		return protovalidate.Validate(message)
	}
	return nil
}
