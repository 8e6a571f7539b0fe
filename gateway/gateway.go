package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/gateway/internal/codec"
	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/gateway/internal/rpc"
	"github.com/muster-id/muster/gateway/internal/site"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/token"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	service = "gateway"
	// maxBody bounds a request; what follows it on the wire may be a little more.
	maxBody      = 1 << 20
	bodyOverhead = 4 << 10
	// callsInOne is how many calls of other services the longest public call makes.
	callsInOne = 3
	// readyEvery is how often Run looks whether the parts have come up.
	readyEvery = 100 * time.Millisecond
)

// Service is a running gateway.
type Service struct {
	server    *serve.Server
	upstream  []*http.Client
	keys      *site.KeySet
	readiness *site.Readiness
	ready     chan struct{}
}

// New checks the configuration and binds the public port. It waits for no other
// service: calls answer UNAVAILABLE until they are there.
func New(_ context.Context, config Config, logger *slog.Logger) (*Service, error) {
	checked, err := config.check()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	public := publicServices()
	if err := access.Declared(public...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	tokens, err := consistency.NewSigner(secret.NewBytes([]byte(config.ConsistencyKey.Reveal())))
	if err != nil {
		return nil, fmt.Errorf("gateway: MUSTER_GATEWAY_CONSISTENCY_KEY: %w", err)
	}
	self, err := certificate.Load(config.Certificates, service)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}

	toIdentity := serve.InternalClient(self, "identity", config.IdentityURL)
	toCredentials := serve.InternalClient(self, "credentials", config.CredentialsURL)
	credentials := credentialsv1connect.NewCredentialsServiceClient(toCredentials, config.CredentialsURL, serve.ClientInterceptors())
	identity := identityv1connect.NewIdentityServiceClient(toIdentity, config.IdentityURL, serve.ClientInterceptors())

	policy := browser.NewPolicy(checked.origins, config.TrustedProxies)
	keys := site.NewKeySet(token.PublishedBy(credentials), time.Now)
	readiness := site.NewReadiness(map[string]grpchealth.Checker{
		"identity":    grpchealth.NewClient(toIdentity, config.IdentityURL, serve.ClientInterceptors()),
		"credentials": grpchealth.NewClient(toCredentials, config.CredentialsURL, serve.ClientInterceptors()),
	}, time.Now)

	options := connect.WithHandlerOptions(
		serve.Interceptors(serve.Config{
			Logger: logger,
			Verifier: token.NewVerifier(token.VerifierConfig{
				Issuer:   config.TokenIssuer,
				Audience: config.TokenAudience,
				Keys:     token.NewRemoteKeys(keys.Fetch, time.Now),
				Now:      time.Now,
			}),
			Permissions:     permissions(public),
			MaxRequestBytes: maxBody,
			Timeout:         callsInOne * config.UpstreamTimeout,
		}),
		codec.Options(),
	)
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewAuthServiceHandler(&rpc.Auth{
		Identity:    identity,
		Credentials: credentials,
		Tokens:      tokens,
		Browser:     policy,
		Logger:      logger,
		Timeout:     config.UpstreamTimeout,
	}, options))
	mux.Handle(musterv1connect.NewUserServiceHandler(&rpc.User{
		Identity: identity,
		Tokens:   tokens,
		Timeout:  config.UpstreamTimeout,
	}, options))
	mux.Handle(musterv1connect.NewHealthServiceHandler(&rpc.Health{Version: version(), Now: time.Now}, options))
	site.Mount(mux, readiness, keys)
	serve.Diagnostics(mux,
		func() bool { return readiness.State(context.Background()).Ready },
		musterv1connect.AuthServiceName, musterv1connect.UserServiceName, musterv1connect.HealthServiceName)

	server, err := serve.New(serve.ServerConfig{
		Name:           service,
		Address:        config.Listen,
		Handler:        site.SecureHeaders(policy.Handler(http.MaxBytesHandler(mux, maxBody+bodyOverhead))),
		TLS:            checked.tls,
		TrustedProxies: config.TrustedProxies,
		Logger:         logger,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &Service{
		server:    server,
		upstream:  []*http.Client{toIdentity, toCredentials},
		keys:      keys,
		readiness: readiness,
		ready:     make(chan struct{}),
	}, nil
}

// Run serves until ctx ends. It is called once.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Run(ctx) })
	group.Go(func() error {
		s.keys.Run(ctx)
		return nil
	})
	group.Go(func() error {
		s.awaitParts(ctx)
		return nil
	})
	err := group.Wait()
	for _, client := range s.upstream {
		client.CloseIdleConnections()
	}
	return err
}

// Addr is the address that is served, host:port.
func (s *Service) Addr() string { return s.server.Addr() }

// Ready is closed once identity and credentials have answered that they can work.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// awaitParts closes ready; it ends without having done so when ctx does.
func (s *Service) awaitParts(ctx context.Context) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for !s.readiness.State(ctx).Ready {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	close(s.ready)
}

// publicServices are the services of package muster.v1.
func publicServices() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		musterv1.File_muster_v1_auth_proto.Services().ByName("AuthService"),
		musterv1.File_muster_v1_user_proto.Services().ByName("UserService"),
		musterv1.File_muster_v1_health_proto.Services().ByName("HealthService"),
	}
}

// version is the release that was built, or its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "development"
}
