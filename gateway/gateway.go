package gateway

import (
	"context"
	"errors"
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
	"github.com/muster-id/muster/gateway/internal/docs"
	"github.com/muster-id/muster/gateway/internal/enumeration"
	"github.com/muster-id/muster/gateway/internal/page"
	"github.com/muster-id/muster/gateway/internal/picture"
	"github.com/muster-id/muster/gateway/internal/rpc"
	"github.com/muster-id/muster/gateway/internal/site"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/metrics"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/status"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	service = "gateway"
	// maxBody bounds a request; what follows it on the wire may be a little more.
	// A picture has bounds of its own.
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
	upstream  []upstream
	keys      *site.KeySet
	readiness *site.Readiness
	monitor   *status.Monitor
	tracing   *telemetry.Tracing
	metrics   *metrics.Server
	ready     chan struct{}
}

// New checks the configuration and binds the public port. It waits for no other
// service: calls answer UNAVAILABLE until they are there.
func New(ctx context.Context, config Config, logger *slog.Logger) (*Service, error) {
	checked, err := config.check()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	public := publicServices()
	if err := access.Declared(public...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	key := secret.NewBytes([]byte(config.ConsistencyKey.Reveal()))
	tokens, err := consistency.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("gateway: MUSTER_GATEWAY_CONSISTENCY_KEY: %w", err)
	}
	pages, err := page.NewSealer(key)
	if err != nil {
		return nil, fmt.Errorf("gateway: MUSTER_GATEWAY_CONSISTENCY_KEY: %w", err)
	}
	self, err := certificate.Load(config.Certificates, service)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}

	toIdentity := newUpstream(self, "identity", config.IdentityURL)
	toCredentials := newUpstream(self, "credentials", config.CredentialsURL)
	toMedia := newUpstream(self, "media", config.MediaURL)
	identity := clientOf(toIdentity, identityv1connect.NewIdentityServiceClient)
	credentials := clientOf(toCredentials, credentialsv1connect.NewCredentialsServiceClient)
	media := clientOf(toMedia, mediav1connect.NewMediaServiceClient)

	policy := browser.NewPolicy(checked.origins, config.TrustedProxies)
	keys := site.NewKeySet(token.PublishedBy(credentials), time.Now)
	// Media is not among them: people register and sign in without avatars and
	// files, so its absence must not take the gateway out of service.
	readiness := site.NewReadiness(map[string]grpchealth.Checker{"identity": toIdentity.health(), "credentials": toCredentials.health()}, time.Now)
	monitor := status.New(status.Config{
		Checks: []status.Check{
			{Name: "identity", Vital: true, Probe: status.Service(toIdentity.health())},
			{Name: "credentials", Vital: true, Probe: status.Service(toCredentials.health())},
			{Name: "media", Probe: status.Service(toMedia.health())},
		},
		Logger: logger,
		Now:    time.Now,
	})

	verifier := token.NewVerifier(token.VerifierConfig{
		Issuer:   config.TokenIssuer,
		Audience: config.TokenAudience,
		Keys:     token.NewRemoteKeys(keys.Fetch, time.Now),
		Now:      time.Now,
	})
	upTo := func(bytes int) connect.HandlerOption {
		return serve.Interceptors(serve.Config{
			Logger:          logger,
			Verifier:        verifier,
			MaxRequestBytes: bytes,
			Timeout:         callsInOne * config.UpstreamTimeout,
		})
	}
	options := connect.WithHandlerOptions(
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if spec.Procedure == musterv1connect.MediaServiceUploadAvatarProcedure {
				return []connect.HandlerOption{upTo(picture.MaxMessage)}
			}
			return []connect.HandlerOption{upTo(maxBody)}
		}),
		codec.Options(),
	)
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewAuthServiceHandler(&rpc.Auth{
		Identity:    identity,
		Credentials: credentials,
		Tokens:      tokens,
		Browser:     policy,
		Probing:     enumeration.NewLimit(time.Now),
		Logger:      logger,
		Timeout:     config.UpstreamTimeout,
	}, options))
	mux.Handle(musterv1connect.NewUserServiceHandler(&rpc.User{
		Identity: identity,
		Tokens:   tokens,
		Timeout:  config.UpstreamTimeout,
	}, options))
	mux.Handle(musterv1connect.NewAdminServiceHandler(&rpc.Admin{
		Identity:    identity,
		Credentials: credentials,
		Tokens:      tokens,
		Pages:       pages,
		Logger:      logger,
		Timeout:     config.UpstreamTimeout,
	}, options))
	mountMedia(mux, &rpc.Media{
		Media:    media,
		Identity: identity,
		Pages:    pages,
		Logger:   logger,
		Timeout:  config.UpstreamTimeout,
	}, options)
	mux.Handle(musterv1connect.NewHealthServiceHandler(&rpc.Health{
		Version: version(),
		Services: map[string]statusv1connect.StatusServiceClient{
			"identity":    toIdentity.status(),
			"credentials": toCredentials.status(),
			"media":       toMedia.status(),
		},
		Own:    monitor.Status,
		Now:    time.Now,
		Logger: logger,
	}, options))
	mux.Handle(musterv1connect.NewOperationsServiceHandler(&rpc.Operations{
		Services: map[string]projectionv1connect.ProjectionServiceClient{
			"identity":    clientOf(toIdentity, projectionv1connect.NewProjectionServiceClient),
			"credentials": clientOf(toCredentials, projectionv1connect.NewProjectionServiceClient),
			"media":       clientOf(toMedia, projectionv1connect.NewProjectionServiceClient),
		},
		Logger:  logger,
		Timeout: config.UpstreamTimeout,
	}, options))
	site.Mount(mux, readiness, keys)
	docs.Mount(mux)
	serve.Diagnostics(mux, func() bool { return readiness.State(context.Background()).Ready }, names(public)...)

	tracing, err := telemetry.NewTracing(ctx, service, logger)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	counted := metrics.New()
	counted.Add(monitor.Metrics)
	scraped, err := metrics.Listen(config.MetricsListen, counted, logger)
	if err != nil {
		tracing.Close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	server, err := serve.New(serve.ServerConfig{
		Name:           service,
		Address:        config.Listen,
		Handler:        site.SecureHeaders(policy.Handler(picture.LimitBodies(maxBody+bodyOverhead, mux))),
		TLS:            checked.tls,
		TrustedProxies: config.TrustedProxies,
		Tracers:        tracing.Provider(),
		Untraced:       []string{"/livez", "/readyz"},
		Meter:          counted,
		Logger:         logger,
	})
	if err != nil {
		tracing.Close()
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), scraped.Close())
	}
	return &Service{
		server:    server,
		upstream:  []upstream{toIdentity, toCredentials, toMedia},
		keys:      keys,
		readiness: readiness,
		monitor:   monitor,
		tracing:   tracing,
		metrics:   scraped,
		ready:     make(chan struct{}),
	}, nil
}

// Run serves until ctx ends. It is called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.tracing.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Run(ctx) })
	group.Go(func() error {
		s.keys.Run(ctx)
		return nil
	})
	group.Go(func() error { return s.monitor.Run(ctx) })
	group.Go(func() error { return s.metrics.Run(ctx) })
	group.Go(func() error {
		s.awaitParts(ctx)
		return nil
	})
	err := group.Wait()
	for _, each := range s.upstream {
		each.CloseIdleConnections()
	}
	return err
}

// Addr is the address that is served, host:port.
func (s *Service) Addr() string { return s.server.Addr() }

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.metrics.Addr() }

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
		musterv1.File_muster_v1_media_proto.Services().ByName("MediaService"),
		musterv1.File_muster_v1_admin_proto.Services().ByName("AdminService"),
		musterv1.File_muster_v1_operations_proto.Services().ByName("OperationsService"),
		musterv1.File_muster_v1_health_proto.Services().ByName("HealthService"),
	}
}

// names are the full names of services.
func names(services []protoreflect.ServiceDescriptor) []string {
	all := make([]string, 0, len(services))
	for _, each := range services {
		all = append(all, string(each.FullName()))
	}
	return all
}

// mountMedia adds MediaService and its plain paths. Both ways to upload an
// avatar share one admission, so that large bodies cannot fill the memory.
func mountMedia(mux *http.ServeMux, media *rpc.Media, options connect.HandlerOption) {
	path, handler := musterv1connect.NewMediaServiceHandler(media, options)
	upload := picture.Admit(picture.AtOnce, picture.Wait)(handler)
	mux.Handle(path, handler)
	mux.Handle(musterv1connect.MediaServiceUploadAvatarProcedure, upload)
	mux.Handle("PUT /me/avatar", picture.NewUpload(upload))
	mux.Handle("GET /avatars/{id}", picture.NewAvatars(media.Avatar))
	mux.Handle("GET /files/{id}", picture.NewFiles(media.PublicFileURL))
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
