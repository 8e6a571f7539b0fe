package credentials

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	projected "github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/app"
	"github.com/muster-id/muster/credentials/internal/rpc"
	"github.com/muster-id/muster/credentials/internal/session"
	"github.com/muster-id/muster/credentials/internal/signing"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/operations"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/observed"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/process"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	projectionv1 "github.com/muster-id/muster/proto/gen/go/muster/projection/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	"github.com/muster-id/muster/proto/upcast"
)

const (
	name = "credentials"
	// identity owns the log that is projected, and serves it with the keyring.
	identity = "identity"
	// queue of the projection on the broker, and the events that it wants.
	queue   = "credentials.access"
	binding = "identity.user.*"
	// keysCached is how many keys of people are remembered, for a minute at most.
	keysCached = 10_000
)

// Service is credentials, wired.
type Service struct {
	logger     *slog.Logger
	server     *serve.Server
	pool       *pgxpool.Pool
	keeper     *database.Keeper
	toLog      *http.Client
	broker     *broker.Connection
	subscriber *broker.Subscriber
	projector  *projection.Projector
	rehasher   *app.Rehasher
	sweeper    *app.Sweeper
	passwords  *password.Pool
	observed   *observed.Service
	ready      chan struct{}
}

// New makes what is missing of the database and the first signing key, and binds
// the port. It needs the database and waits for nothing else: without
// identity or the broker the projection catches up later.
func New(ctx context.Context, config Config, logger *slog.Logger) (*Service, error) {
	s := &Service{logger: logger, ready: make(chan struct{})}
	if err := s.wire(ctx, config); err != nil {
		s.close()
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return s, nil
}

func (s *Service) wire(ctx context.Context, config Config) error {
	checked, err := config.check()
	if err != nil {
		return err
	}
	if err := access.Declared(services()...); err != nil {
		return err
	}
	self, err := certificate.Load(config.Certificates, name)
	if err != nil {
		return err
	}
	if s.observed, err = observed.New(ctx, name, s.logger); err != nil {
		return err
	}
	migrations, err := migrations()
	if err != nil {
		return err
	}
	urls := database.URLs{Owner: config.DatabaseOwnerURL, Runtime: config.DatabaseURL}
	// All of it can be made again: accounts from the log, signing keys from those
	// that a process holds. Sessions are not, and end.
	if err := database.Make(ctx, urls, migrations...); err != nil {
		return err
	}
	if s.pool, err = database.Open(ctx, config.DatabaseURL, name, config.DatabaseConnections); err != nil {
		return err
	}
	stored := store.New(s.pool)
	keys, err := openKeys(ctx, config, checked, stored)
	if err != nil {
		return err
	}
	s.keeper = database.NewKeeper(database.KeeperConfig{
		Pool: s.pool, URLs: urls, Migrations: migrations, Logger: s.logger,
		Remade: func(ctx context.Context) error { return keepKeys(ctx, stored, keys) },
	})
	s.passwords = config.Passwords.Pool()
	if err := s.project(ctx, config, self); err != nil {
		return err
	}
	s.rehasher = app.NewRehasher(stored, s.passwords, s.logger, time.Now)
	s.sweeper = app.NewSweeper(stored, s.logger, time.Now)
	handler := rpc.NewHandler(app.New(app.Config{
		Store:         stored,
		Passwords:     s.passwords,
		Access:        s.projector,
		Keys:          keys,
		RefreshTokens: session.NewTokens(checked.refreshKey),
		Lifetime:      session.Lifetime{Idle: config.SessionIdleLifetime, Absolute: config.SessionTotalLifetime},
		Rehasher:      s.rehasher,
		Logger:        s.logger,
		Now:           time.Now,
	}))
	return s.bind(config, self, keys, handler)
}

// migrations of the whole database. Those of all projections come last: once
// their tables are there, all are.
func migrations() ([]database.Migrations, error) {
	sets, err := store.Migrations()
	if err != nil {
		return nil, err
	}
	return append(sets, database.Migrations{Schema: "read", Part: "projection_", Files: projection.Migrations}), nil
}

func openKeys(ctx context.Context, config Config, checked checked, at *store.Store) (*signing.Ring, error) {
	sealer, err := signing.NewSealer(checked.sealingKey)
	if err != nil {
		return nil, err
	}
	stored, err := at.SigningKeys(ctx, func() (signing.Key, error) { return sealer.Generate(time.Now().UTC().Truncate(time.Microsecond)) })
	if err != nil {
		return nil, err
	}
	return signing.NewRing(signing.Config{
		Issuer:        config.TokenIssuer,
		Audience:      config.TokenAudience,
		TokenLifetime: config.AccessTokenLifetime,
		Now:           time.Now,
	}, sealer, stored)
}

// keepKeys stores the signing keys of this process in a database that was made
// anew, so that tokens which it has signed stay good, and learns those of others.
func keepKeys(ctx context.Context, at *store.Store, ring *signing.Ring) error {
	keys, err := at.KeepSigningKeys(ctx, ring.Stored())
	if err != nil {
		return err
	}
	return ring.Replace(keys)
}

// project wires the projection: identity's log and keyring over mTLS, and the
// broker where there is one.
func (s *Service) project(ctx context.Context, config Config, self certificate.Identity) error {
	s.toLog = serve.InternalClient(self, identity, config.IdentityURL)
	keyring := keyringv1connect.NewKeyringServiceClient(s.toLog, config.IdentityURL, serve.ClientInterceptors())
	log := eventlogv1connect.NewEventLogServiceClient(s.toLog, config.IdentityURL, serve.ClientInterceptors())
	var subscriber message.Subscriber
	if !config.BrokerURL.Empty() {
		var err error
		// Run ends it; it has to outlive the context that New is given.
		s.broker, err = broker.Connect(context.WithoutCancel(ctx), broker.Config{URL: config.BrokerURL, Logger: s.logger})
		if err != nil {
			return err
		}
		s.subscriber = broker.NewSubscriber(s.broker, broker.Topology{Queue: queue, Bindings: []string{binding}})
		subscriber = s.subscriber
	}
	s.projector = projection.New(projection.Config{
		Pool:       s.pool,
		Log:        identity,
		Projection: projected.Projection{},
		Codec:      seal.NewCodec(seal.NewCache(seal.RemoteKeys(keyring), seal.MaxCacheAge, keysCached, time.Now), nil, protoregistry.GlobalTypes, upcast.Step),
		Source:     eventlog.NewClient(log),
		Subscriber: subscriber,
		Queue:      queue,
		Decode:     broker.Decode,
		Logger:     s.logger,
		Tracers:    s.observed.Tracers(),
	})
	return nil
}

func (s *Service) bind(config Config, self certificate.Identity, keys *signing.Ring, handler *rpc.Handler) error {
	if err := s.observe(config); err != nil {
		return err
	}
	options := serve.Interceptors(serve.Config{
		Logger: s.logger,
		Verifier: token.NewVerifier(token.VerifierConfig{
			Issuer: config.TokenIssuer, Audience: config.TokenAudience, Keys: keys, Now: time.Now,
		}),
	})
	mux := http.NewServeMux()
	mux.Handle(credentialsv1connect.NewCredentialsServiceHandler(handler, options))
	mux.Handle(statusv1connect.NewStatusServiceHandler(s.observed.Monitor(), options))
	mux.Handle(projectionv1connect.NewProjectionServiceHandler(operations.NewHandler(name, access.Actor, s.projector), options))
	health := &health{caughtUp: s.projector.Ready(), projector: s.projector.Stats, database: s.whole(database.Alive(s.pool)), now: time.Now}
	serve.Diagnostics(mux, health.ready, services()...)
	var err error
	s.server, err = serve.New(serve.ServerConfig{
		Name: name, Address: config.Listen, Handler: mux, TLS: self.ServerTLS(), Logger: s.logger,
		Tracers: s.observed.Tracers(), Meter: s.observed.Meter(),
	})
	return err
}

// whole tells whether the database answers with all that belongs in it.
func (s *Service) whole(alive func() bool) func() bool {
	return func() bool { return s.keeper.Whole() && alive() }
}

// Run serves until ctx or a part ends. It is called once.
//
// The order of the end: the server stops accepting and lets calls under way
// finish, which may wait for the projection; then projection, keeper, rehasher and
// sweeper stop; then the broker's connection and the database's are closed, and
// the last spans go to their collector.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	defer s.passwords.MakeRoom()()
	return process.Serve(ctx, s.server.Run, s.projector.Run, s.keeper.Run, s.rehasher.Run, s.sweeper.Run, s.announce, s.observed.Run)
}

// Addr is the address that is served, host:port.
func (s *Service) Addr() string { return s.server.Addr() }

// MetricsAddr is where Prometheus finds the metrics, host:port; empty for nowhere.
func (s *Service) MetricsAddr() string { return s.observed.MetricsAddr() }

// Ready is closed once the port is served and the projection holds all that was
// in the log when it started.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// announce closes ready when the projection has caught up for the first time. It
// goes on until ctx ends, as every part does whose end is not that of all.
func (s *Service) announce(ctx context.Context) error {
	select {
	case <-s.projector.Ready():
		close(s.ready)
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// close closes what wire has opened, however far it came.
func (s *Service) close() {
	if s.subscriber != nil {
		_ = s.subscriber.Close() // neither this
		_ = s.broker.Close()     // nor that has anything to say
	}
	if s.toLog != nil {
		s.toLog.CloseIdleConnections()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.observed.Close()
}

// services are what credentials serves.
func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		credentialsv1.File_muster_credentials_v1_credentials_proto.Services().ByName("CredentialsService"),
		statusv1.File_muster_status_v1_status_proto.Services().ByName("StatusService"),
		projectionv1.File_muster_projection_v1_projection_proto.Services().ByName("ProjectionService"),
	}
}
