package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/telemetry"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// writeTimeout is longer than the longest unary call; streams set their own.
	writeTimeout   = longestTimeout + 30*time.Second
	idleTimeout    = 120 * time.Second
	maxHeaderBytes = 64 << 10
	// shutdownTimeout bounds how long calls under way may take to end; drainTime
	// is what they get before their contexts end: those that wait for something,
	// and streams, would otherwise hold up every shutdown.
	shutdownTimeout = 5 * time.Second
	drainTime       = time.Second
	// maxStreams bounds the calls under way on one connection.
	maxStreams = 250
	// pingTimeout is how soon a peer that has vanished is noticed, twice.
	pingTimeout = 15 * time.Second
)

// errStopping ends the contexts of calls under way at shutdown. As it is not
// context.Canceled, they are answered UNAVAILABLE: their callers gave nothing up.
var errStopping = errors.New("serve: the server is stopping")

// ServerConfig configures a Server.
type ServerConfig struct {
	// Name of the service, for logs and spans.
	Name string
	// Address to listen on, host:port; port 0 for a free one. Not used with a Listener.
	Address string
	// Listener to serve on instead; the Server closes it.
	Listener net.Listener
	// Handler of all requests, a mux as a rule.
	Handler http.Handler
	// TLS of the listener: certificate.Identity.ServerTLS for a service's own
	// port. nil for HTTP/1.1 and h2c in clear.
	TLS *tls.Config
	// TrustedProxies may name the client's address in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// Tracers makes the spans; one whose spans go nowhere if nil.
	Tracers trace.TracerProvider
	// Untraced are paths whose requests make no spans.
	Untraced []string
	// Meter is told of each call; nil for none.
	Meter Meter
	// Logger takes one line for each request.
	Logger *slog.Logger
}

// Meter counts calls; *metrics.Metrics is one.
type Meter interface {
	// Begin is told when a call comes in.
	Begin()
	// End is told when it is answered: procedure is one of ours, or http; code is
	// ok, a Connect code, or an HTTP status.
	End(procedure, code string, took time.Duration)
}

// Server serves HTTP/1.1 and HTTP/2 on one listener.
type Server struct {
	name     string
	listener net.Listener
	http     *http.Server
	logger   *slog.Logger
}

// New binds the listener, so that Addr is known before Run.
func New(config ServerConfig) (*Server, error) {
	listener := config.Listener
	if listener == nil {
		bound, err := net.Listen("tcp", config.Address)
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", config.Name, err)
		}
		listener = bound
	}
	if config.Tracers == nil {
		config.Tracers = telemetry.NewTracerProvider(config.Name)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(config.TLS != nil)
	protocols.SetUnencryptedHTTP2(config.TLS == nil)
	return &Server{
		name:     config.Name,
		listener: listener,
		logger:   config.Logger,
		http: &http.Server{
			Handler:           handler(config),
			TLSConfig:         config.TLS,
			Protocols:         protocols,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams,
				SendPingTimeout:      pingTimeout,
				PingTimeout:          pingTimeout,
				WriteByteTimeout:     sendTimeout,
			},
		},
	}, nil
}

// Addr is the bound address, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close frees the address of a Server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then lets calls under way end within 5 seconds,
// and cuts what is left. It is called once.
func (s *Server) Run(ctx context.Context) error {
	// Requests outlive ctx, by as much as the shutdown allows.
	requests, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errStopping)
	s.http.BaseContext = func(net.Listener) context.Context { return requests }
	served := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			served <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		served <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.name, errors.Join(err, s.http.Close()))
	case <-ctx.Done():
	}
	drained := time.AfterFunc(drainTime, func() { cancel(errStopping) })
	defer drained.Stop()
	deadline, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if err := s.http.Shutdown(deadline); err != nil {
		s.logger.Warn("calls under way were cut at shutdown", "server", s.name)
		_ = s.http.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.name, err)
	}
	return nil
}

// handler is the middleware around the service's own handler.
func handler(config ServerConfig) http.Handler {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		e := &exchange{logger: config.Logger, controller: http.NewResponseController(w)}
		ctx := withExchange(r.Context(), e)
		if caller := certificate.CallerOf(r.TLS); caller != "" {
			ctx = access.WithCaller(ctx, caller)
		}
		r = r.WithContext(ctx)
		writer := &refusalWriter{ResponseWriter: w, request: r, exchange: e}
		if config.Meter != nil {
			config.Meter.Begin()
		}
		defer func() {
			took := time.Since(started)
			e.log(ctx, r, writer.status, took)
			e.trace(ctx, writer.status)
			if config.Meter != nil {
				config.Meter.End(cmp.Or(strings.TrimPrefix(e.procedure, "/"), plainHTTP), e.code(writer.status), took)
			}
		}()
		defer recovered(writer, r)
		config.Handler.ServeHTTP(writer, r)
		writer.finish()
	})
	return telemetry.Middleware(telemetry.MiddlewareConfig{
		Service:        config.Name,
		Tracers:        config.Tracers,
		TrustedProxies: config.TrustedProxies,
		Untraced:       config.Untraced,
		Internal:       func(r *http.Request) bool { return certificate.CallerOf(r.TLS) != "" },
	}, inner)
}

// recovered answers INTERNAL for a panic outside the interceptors. When a part
// of an answer has gone out already, the connection is cut: the client must not
// take it for the whole.
func recovered(w *refusalWriter, r *http.Request) {
	panicked := recover()
	if panicked == nil {
		return
	}
	if panicked == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(panicked)
	}
	err := reason.New(musterv1.Reason_REASON_INTERNAL, reason.Cause(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())))
	if w.status != 0 && !w.held {
		_ = w.exchange.fail(r.Context(), w.exchange.logger, err)
		panic(http.ErrAbortHandler)
	}
	w.held = false
	WriteError(w.ResponseWriter, r, err)
}
