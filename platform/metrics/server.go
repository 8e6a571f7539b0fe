package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	readTimeout     = 5 * time.Second
	writeTimeout    = 15 * time.Second
	idleTimeout     = 2 * time.Minute
	maxHeaderBytes  = 8 << 10
	maxScrapes      = 4
	shutdownTimeout = time.Second
)

var errLabels = errors.New("metrics: labels are not names and values in turn")

// Server answers Prometheus, over plain HTTP: who may reach its address may read.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen binds an address, host:port, so that it is known before Run; port 0
// takes a free one. With an empty address nothing is served, and Run only waits.
func Listen(address string, metrics *Metrics, logger *slog.Logger) (*Server, error) {
	if address == "" {
		return &Server{}, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ErrorHandling:       promhttp.ContinueOnError, // what is right is still worth having
		MaxRequestsInFlight: maxScrapes,
	}))
	return &Server{
		listener: listener,
		http: &http.Server{
			Handler:        mux,
			ReadTimeout:    readTimeout,
			WriteTimeout:   writeTimeout,
			IdleTimeout:    idleTimeout,
			MaxHeaderBytes: maxHeaderBytes,
			ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

// Addr is the bound address, host:port; empty when nothing is served.
func (s *Server) Addr() string {
	if s == nil || s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close frees the address of a Server that was never run.
func (s *Server) Close() error {
	if s == nil || s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// Run serves until ctx ends, and then returns nil. It is called once.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve metrics: %w", errors.Join(err, s.http.Close()))
	case <-ctx.Done():
	}
	deadline, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if s.http.Shutdown(deadline) != nil {
		_ = s.http.Close() // a scrape that does not end is nobody's loss
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
