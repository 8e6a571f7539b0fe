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
	"github.com/muster-id/muster/platform/observed"
	"github.com/muster-id/muster/platform/overview"
	"github.com/muster-id/muster/platform/process"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/token"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
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

// Service is the gateway, wired.
type Service struct {
	logger    *slog.Logger
	upstreams *upstreams
	keys      *site.KeySet
	readiness *site.Readiness
	observed  *observed.Service
	server    *serve.Server
	ready     chan struct{}
}

// New checks the configuration and binds the public port. It waits for no other
// service: calls answer UNAVAILABLE until they are there. Run has to follow: it
// closes what New has opened.
func New(ctx context.Context, config Config, logger *slog.Logger) (*Service, error) {
	s := &Service{logger: logger, ready: make(chan struct{})}
	if err := s.wire(ctx, config); err != nil {
		s.close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return s, nil
}

func (s *Service) wire(ctx context.Context, config Config) error {
	checked, err := config.check()
	if err != nil {
		return err
	}
	if err := access.Declared(publicServices()...); err != nil {
		return err
	}
	key := secret.NewBytes([]byte(config.ConsistencyKey.Reveal()))
	tokens, err := consistency.NewSigner(key)
	if err != nil {
		return fmt.Errorf("MUSTER_GATEWAY_CONSISTENCY_KEY: %w", err)
	}
	pages, err := page.NewSealer(key)
	if err != nil {
		return fmt.Errorf("MUSTER_GATEWAY_CONSISTENCY_KEY: %w", err)
	}
	self, err := certificate.Load(config.Certificates, service)
	if err != nil {
		return err
	}
	if s.observed, err = observed.New(ctx, service, s.logger); err != nil {
		return err
	}
	s.connect(config, self)
	if err := s.observe(config); err != nil {
		return err
	}
	policy := browser.NewPolicy(checked.origins, config.TrustedProxies)
	mux := s.handlers(config, policy, tokens, pages)
	return s.bind(config, checked, policy.Handler(picture.LimitBodies(maxBody+bodyOverhead, mux)))
}

// connect makes the clients of the other services, and what is kept of their
// answers.
func (s *Service) connect(config Config, self certificate.Identity) {
	s.upstreams = &upstreams{
		identity:    newUpstream(self, "identity", config.IdentityURL),
		credentials: newUpstream(self, "credentials", config.CredentialsURL),
		media:       newUpstream(self, "media", config.MediaURL),
	}
	credentials := clientOf(s.upstreams.credentials, credentialsv1connect.NewCredentialsServiceClient)
	s.keys = site.NewKeySet(token.PublishedBy(credentials), time.Now)
	// Media is not among them: people register and sign in without avatars and
	// files, so its absence must not take the gateway out of service.
	s.readiness = site.NewReadiness(map[string]grpchealth.Checker{
		"identity":    s.upstreams.identity.health(),
		"credentials": s.upstreams.credentials.health(),
	}, time.Now)
}

// handlers mounts the public services and the plain paths.
func (s *Service) handlers(config Config, policy *browser.Policy, tokens *consistency.Signer, pages *page.Sealer) *http.ServeMux {
	identity := clientOf(s.upstreams.identity, identityv1connect.NewIdentityServiceClient)
	credentials := clientOf(s.upstreams.credentials, credentialsv1connect.NewCredentialsServiceClient)
	media := clientOf(s.upstreams.media, mediav1connect.NewMediaServiceClient)
	options := s.options(config)
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewAuthServiceHandler(&rpc.Auth{
		Identity:    identity,
		Credentials: credentials,
		Tokens:      tokens,
		Browser:     policy,
		Probing:     enumeration.NewLimit(time.Now),
		Logger:      s.logger,
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
		Logger:      s.logger,
		Timeout:     config.UpstreamTimeout,
	}, options))
	mountMedia(mux, &rpc.Media{
		Media:    media,
		Identity: identity,
		Pages:    pages,
		Logger:   s.logger,
		Timeout:  config.UpstreamTimeout,
	}, options)
	mux.Handle(musterv1connect.NewHealthServiceHandler(&rpc.Health{
		Version:  version(),
		Services: clientsOf(s.upstreams, statusv1connect.NewStatusServiceClient),
		Own:      s.observed.Monitor().Status,
		Now:      time.Now,
		Logger:   s.logger,
	}, options))
	mux.Handle(musterv1connect.NewOperationsServiceHandler(&rpc.Operations{
		Services: clientsOf(s.upstreams, projectionv1connect.NewProjectionServiceClient),
		Logger:   s.logger,
		Timeout:  config.UpstreamTimeout,
	}, options))
	views := map[string]eventlogv1connect.EventViewServiceClient{
		"identity": clientOf(s.upstreams.identity, eventlogv1connect.NewEventViewServiceClient),
		"media":    clientOf(s.upstreams.media, eventlogv1connect.NewEventViewServiceClient),
	}
	mux.Handle(musterv1connect.NewEventServiceHandler(&rpc.Events{
		Logs:     overview.Logs{Views: views, Timeout: config.UpstreamTimeout},
		Accounts: views["identity"],
		Pages:    pages,
		Logger:   s.logger,
		Timeout:  config.UpstreamTimeout,
	}, options))
	site.Mount(mux, s.readiness, s.keys)
	docs.Mount(mux)
	serve.Diagnostics(mux, func() bool { return s.readiness.State(context.Background()).Ready }, publicServices()...)
	return mux
}

// options of every public handler.
func (s *Service) options(config Config) connect.HandlerOption {
	verifier := token.NewVerifier(token.VerifierConfig{
		Issuer:   config.TokenIssuer,
		Audience: config.TokenAudience,
		Keys:     token.NewRemoteKeys(s.keys.Fetch, time.Now),
		Now:      time.Now,
	})
	upTo := func(bytes int) connect.HandlerOption {
		return serve.Interceptors(serve.Config{
			Logger:          s.logger,
			Verifier:        verifier,
			MaxRequestBytes: bytes,
			Timeout:         callsInOne * config.UpstreamTimeout,
		})
	}
	return connect.WithHandlerOptions(
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if spec.Procedure == musterv1connect.MediaServiceUploadAvatarProcedure {
				return []connect.HandlerOption{upTo(picture.MaxMessage)}
			}
			return []connect.HandlerOption{upTo(maxBody)}
		}),
		codec.Options(),
	)
}

// bind binds the public port.
func (s *Service) bind(config Config, checked checked, handler http.Handler) error {
	server, err := serve.New(serve.ServerConfig{
		Name:           service,
		Address:        config.Listen,
		Handler:        site.SecureHeaders(handler),
		TLS:            checked.tls,
		TrustedProxies: config.TrustedProxies,
		Tracers:        s.observed.Tracers(),
		Untraced:       []string{"/livez", "/readyz"},
		Meter:          s.observed.Meter(),
		Logger:         s.logger,
	})
	s.server = server
	return err
}

// Run serves until ctx ends, and is called once. Calls under way end first, within
// 5 seconds, then what fetches keys and shows how the gateway is; then the
// connections to the other services are closed, and the last spans go to their
// collector.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	return process.Serve(ctx, s.server.Run, s.fetchKeys, s.announce, s.observed.Run)
}

// Addr is the address that is served, host:port.
func (s *Service) Addr() string { return s.server.Addr() }

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.observed.MetricsAddr() }

// Ready is closed once identity and credentials have answered that they can work.
func (s *Service) Ready() <-chan struct{} { return s.ready }

func (s *Service) fetchKeys(ctx context.Context) error {
	s.keys.Run(ctx)
	return nil
}

// announce closes ready once the parts have come up. It goes on until ctx ends,
// as a part that ended would end all.
func (s *Service) announce(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for !s.readiness.State(ctx).Ready {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	close(s.ready)
	<-ctx.Done()
	return nil
}

// close closes what wire has opened, however far it came.
func (s *Service) close() {
	if s.upstreams != nil {
		s.upstreams.close()
	}
	s.observed.Close()
}

// publicServices are the services of package muster.v1.
func publicServices() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		musterv1.File_muster_v1_auth_proto.Services().ByName("AuthService"),
		musterv1.File_muster_v1_user_proto.Services().ByName("UserService"),
		musterv1.File_muster_v1_media_proto.Services().ByName("MediaService"),
		musterv1.File_muster_v1_admin_proto.Services().ByName("AdminService"),
		musterv1.File_muster_v1_operations_proto.Services().ByName("OperationsService"),
		musterv1.File_muster_v1_event_proto.Services().ByName("EventService"),
		musterv1.File_muster_v1_health_proto.Services().ByName("HealthService"),
	}
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
