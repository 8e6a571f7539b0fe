package identity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/operations"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/eventstore/view"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/rpc"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/observed"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/process"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/token"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	projectionv1 "github.com/muster-id/muster/proto/gen/go/muster/projection/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	"github.com/muster-id/muster/proto/upcast"
)

const (
	service = "identity"
	// Connections to each database. A command holds one for its append only, a
	// projection one for a batch.
	logConnections     = 20
	keyringConnections = 8
	// cachedKeys bounds the keys in memory: some 200 bytes each.
	cachedKeys = 10_000
)

// Service is identity, wired.
type Service struct {
	logger    *slog.Logger
	pools     []*pgxpool.Pool
	log       *postgres.Log
	followers followers
	observed  *observed.Service
	upstream  *http.Client
	passwords *password.Pool
	server    *serve.Server
	leaving   chan struct{} // closed when Run begins to shut down
	serving   atomic.Bool
	ready     chan struct{}
}

// New checks the settings, brings both databases to their newest version, sees
// to it that there is a first administrator, and binds the port. It waits for
// no other service. Run has to follow: it closes what New has opened.
func New(ctx context.Context, config Config, logger *slog.Logger) (*Service, error) {
	s := &Service{logger: logger, leaving: make(chan struct{}), ready: make(chan struct{})}
	if err := s.wire(ctx, config); err != nil {
		s.close()
		return nil, fmt.Errorf("identity: %w", err)
	}
	return s, nil
}

func (s *Service) wire(ctx context.Context, config Config) error {
	kek, err := config.check()
	if err != nil {
		return err
	}
	if err := access.Declared(services()...); err != nil {
		return err
	}
	self, err := certificate.Load(config.Certificates, service)
	if err != nil {
		return err
	}
	if s.observed, err = observed.New(ctx, service, s.logger); err != nil {
		return err
	}
	migrations, err := store.Migrations()
	if err != nil {
		return err
	}
	events, err := s.open(ctx, config.DatabaseOwnerURL, config.DatabaseURL, logConnections, migrations...)
	if err != nil {
		return err
	}
	keys, err := s.open(ctx, config.KeyringDatabaseOwnerURL, config.KeyringDatabaseURL, keyringConnections, keyring.Migrations())
	if err != nil {
		return err
	}
	ring, err := keyring.Open(ctx, keys, kek, s.logger)
	if err != nil {
		return err
	}
	if s.log, err = postgres.Open(ctx, events, app.LogName, s.logger); err != nil {
		return err
	}
	codec := seal.NewCodec(seal.NewCache(ring, seal.MaxCacheAge, cachedKeys, time.Now), ring, protoregistry.GlobalTypes, upcast.Step)
	if err := s.follow(ctx, config, self, events, codec, ring); err != nil {
		return err
	}
	s.passwords = config.Passwords.Pool()
	identity := app.New(app.Config{
		Log:          s.log,
		Codec:        codec,
		Reservations: ring.Reservations(),
		Fingerprints: ring.Fingerprints(),
		Passwords:    s.passwords,
		Exclusive:    store.NewExclusive(events),
		Directory:    users.NewRows(events),
		Avatars:      s.followers.rows,
		Projections:  map[string]app.Projection{app.LogName: s.followers.users, mediaLog: s.followers.avatars},
		Now:          time.Now,
		NewID:        uuid.NewV7,
	})
	if err := s.firstAdmin(ctx, identity, config); err != nil {
		return err
	}
	return s.bind(config, self, identity, ring)
}

// open migrates a database as its owner and opens it as the run-time role. It
// makes none: these hold the log and its keys, and the loss of either has to be
// seen, not papered over with an empty one.
func (s *Service) open(ctx context.Context, owner, runtime secret.String, connections int32, migrations ...database.Migrations) (*pgxpool.Pool, error) {
	if err := database.Migrate(ctx, owner, migrations...); err != nil {
		return nil, err
	}
	pool, err := database.Open(ctx, runtime, service, connections)
	if err != nil {
		return nil, err
	}
	s.pools = append(s.pools, pool)
	return pool, nil
}

func (s *Service) firstAdmin(ctx context.Context, identity app.App, config Config) error {
	made, err := identity.Commands.FirstAdmin.Handle(ctx, app.FirstAdmin{
		Username:     config.AdminUsername,
		Email:        config.AdminEmail,
		PasswordFile: config.FirstAdminPasswordFile,
	})
	if err == nil && made {
		s.logger.InfoContext(ctx, "the first administrator has a one-time password", "file", config.FirstAdminPasswordFile)
	}
	return err
}

// bind mounts the services and binds the port.
func (s *Service) bind(config Config, self certificate.Identity, identity app.App, ring *keyring.Keyring) error {
	s.upstream = serve.InternalClient(self, "credentials", config.CredentialsURL)
	credentials := credentialsv1connect.NewCredentialsServiceClient(s.upstream, config.CredentialsURL, serve.ClientInterceptors())
	options := serve.Interceptors(serve.Config{
		Logger: s.logger,
		Verifier: token.NewVerifier(token.VerifierConfig{
			Issuer:   config.TokenIssuer,
			Audience: config.TokenAudience,
			Keys:     token.NewRemoteKeys(token.PublishedBy(credentials), time.Now),
			Now:      time.Now,
		}),
	})
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewIdentityServiceHandler(rpc.NewIdentity(identity), options))
	mux.Handle(keyringv1connect.NewKeyringServiceHandler(rpc.NewKeyring(ring), options))
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(eventlog.Patient(s.log, s.leaving)), options))
	mux.Handle(eventlogv1connect.NewLogServiceHandler(eventlog.NewKeeper(s.log), options))
	mux.Handle(eventlogv1connect.NewEventViewServiceHandler(view.NewHandler(view.Config{
		Log:      s.log,
		Codec:    seal.NewCodec(ring, ring, protoregistry.GlobalTypes, upcast.Step),
		Caller:   rpc.Caller,
		People:   s.log,
		Accounts: rpc.NewHistory(identity),
		Leaving:  s.leaving,
		Now:      time.Now,
		NewID:    uuid.NewV7,
	}), options))
	if err := s.observe(config); err != nil {
		return err
	}
	mux.Handle(statusv1connect.NewStatusServiceHandler(s.observed.Monitor(), options))
	mux.Handle(projectionv1connect.NewProjectionServiceHandler(operations.NewHandler(service, access.Actor, s.followers.users, s.followers.avatars), options))
	databases := database.Alive(s.pools...)
	serve.Diagnostics(mux, func() bool { return s.serving.Load() && databases() }, services()...)
	server, err := serve.New(serve.ServerConfig{
		Name:    service,
		Address: config.Listen,
		Handler: mux,
		TLS:     self.ServerTLS(),
		Tracers: s.observed.Tracers(),
		Meter:   s.observed.Meter(),
		Logger:  s.logger,
	})
	s.server = server
	return err
}

// Run serves until ctx ends, and is called once. It shuts down in this order:
//
//  1. readers that wait at the head of the log are answered
//  2. the server takes no more calls, and those under way end, within 5 seconds;
//     they may wait for a projection
//  3. projections, eraser, forwarder and the log's notifier stop; what they leave,
//     the next ones find
//  4. the connections to the broker, to media and to the databases are closed, and
//     the last spans go to their collector
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	defer s.passwords.MakeRoom()()
	parts := []func(context.Context) error{
		s.log.Run, s.followers.users.Run, s.followers.avatars.Run, s.followers.eraser.Run, s.observed.Run,
	}
	if s.followers.forwarder != nil {
		parts = append(parts, s.followers.forwarder.Run)
	}
	return process.Serve(ctx, s.serve, parts...)
}

// serve answers calls until ctx ends.
func (s *Service) serve(ctx context.Context) error {
	stopLeaving := context.AfterFunc(ctx, func() {
		s.serving.Store(false)
		close(s.leaving)
	})
	defer stopLeaving()
	s.serving.Store(true)
	close(s.ready)
	return s.server.Run(ctx)
}

// Addr is the address that is served, host:port.
func (s *Service) Addr() string { return s.server.Addr() }

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.observed.MetricsAddr() }

// Ready is closed once calls are answered.
func (s *Service) Ready() <-chan struct{} { return s.ready }

func (s *Service) close() {
	s.followers.close()
	for _, pool := range s.pools {
		pool.Close()
	}
	if s.upstream != nil {
		s.upstream.CloseIdleConnections()
	}
	s.observed.Close()
}

// services are what identity serves.
func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		identityv1.File_muster_identity_v1_identity_proto.Services().ByName("IdentityService"),
		keyringv1.File_muster_keyring_v1_keyring_proto.Services().ByName("KeyringService"),
		eventlogv1.File_muster_eventlog_v1_eventlog_proto.Services().ByName("EventLogService"),
		eventlogv1.File_muster_eventlog_v1_log_proto.Services().ByName("LogService"),
		eventlogv1.File_muster_eventlog_v1_view_proto.Services().ByName("EventViewService"),
		statusv1.File_muster_status_v1_status_proto.Services().ByName("StatusService"),
		projectionv1.File_muster_projection_v1_projection_proto.Services().ByName("ProjectionService"),
	}
}
