package media

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/forwarder"
	"github.com/muster-id/muster/eventstore/operations"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/eventstore/view"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/eraser"
	"github.com/muster-id/muster/media/internal/erasure"
	"github.com/muster-id/muster/media/internal/files"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/picture"
	"github.com/muster-id/muster/media/internal/rpc"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/media/internal/sweeper"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/observed"
	"github.com/muster-id/muster/platform/process"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/token"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
	projectionv1 "github.com/muster-id/muster/proto/gen/go/muster/projection/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/status/v1/statusv1connect"
	"github.com/muster-id/muster/proto/upcast"
)

const (
	service = "media"
	// identity owns the log that erasures come from, and serves it with the keyring.
	identity = "identity"
	// queue of the erasures on the broker, and the event that they want.
	queue   = "media.erasure"
	binding = "identity.user.user_erased"
	// connections to the database. A command holds one for its append only; the
	// sweeper and each projection hold one while they work.
	connections = 24
	// keysCached bounds the keys in memory: some 200 bytes each.
	keysCached = 10_000
	// maxRequestBytes is a picture of 5 MiB and what is around it.
	maxRequestBytes = 5<<20 + 64<<10
)

// Service is media, wired.
type Service struct {
	logger     *slog.Logger
	pool       *pgxpool.Pool
	log        *postgres.Log
	objects    *object.Store
	pictures   *picture.Pool
	upstreams  map[string]*http.Client // by the service's name
	connection *broker.Connection
	subscriber *broker.Subscriber
	publisher  *broker.Publisher
	forwarder  *forwarder.Forwarder
	files      *projection.Projector
	eraser     *projection.Projector
	erasure    *projection.Projector
	sweeper    *sweeper.Sweeper
	observed   *observed.Service
	server     *serve.Server
	leaving    chan struct{} // closed when Run begins to shut down
	serving    atomic.Bool
	ready      chan struct{}
}

// New checks the settings, brings the database to its newest version, and binds
// the port. It needs the database and waits for nothing else: neither storage nor
// broker nor another service has to be there. Run has to follow: it closes what
// New has opened.
func New(ctx context.Context, config Config, logger *slog.Logger) (*Service, error) {
	s := &Service{logger: logger, upstreams: make(map[string]*http.Client), leaving: make(chan struct{}), ready: make(chan struct{})}
	if err := s.wire(ctx, config); err != nil {
		s.close()
		return nil, fmt.Errorf("media: %w", err)
	}
	return s, nil
}

func (s *Service) wire(ctx context.Context, config Config) error {
	if err := config.check(); err != nil {
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
	if s.pool, err = openDatabase(ctx, config); err != nil {
		return err
	}
	if s.log, err = postgres.Open(ctx, s.pool, app.LogName, s.logger); err != nil {
		return err
	}
	if s.objects, err = object.Open(config.storage(), s.logger); err != nil {
		return err
	}
	if !config.BrokerURL.Empty() {
		// Run ends it; it has to outlive the context that New is given.
		s.connection, err = broker.Connect(context.WithoutCancel(ctx), broker.Config{URL: config.BrokerURL, Logger: s.logger})
		if err != nil {
			return fmt.Errorf("MUSTER_MEDIA_BROKER_URL: %w", err)
		}
		s.publisher = broker.NewPublisher(s.connection)
		s.forwarder = forwarder.New(s.log, forwarder.Config{Publisher: s.publisher, Logger: s.logger, Unpublished: view.Recorded(), Tracers: s.observed.Tracers()})
	}
	media := s.assemble(config, self)
	return s.bind(config, self, media)
}

// openDatabase migrates, and makes no database: this one holds a log, whose loss
// has to be seen.
func openDatabase(ctx context.Context, config Config) (*pgxpool.Pool, error) {
	sets, err := store.Migrations()
	if err != nil {
		return nil, err
	}
	if err := database.Migrate(ctx, config.DatabaseOwnerURL, sets...); err != nil {
		return nil, err
	}
	return database.Open(ctx, config.DatabaseURL, service, connections)
}

// assemble puts together the commands and what works behind them.
func (s *Service) assemble(config Config, self certificate.Identity) app.App {
	toIdentity := s.upstream(self, identity, config.IdentityURL)
	keyring := keyringv1connect.NewKeyringServiceClient(toIdentity, config.IdentityURL, serve.ClientInterceptors())
	codec := seal.NewCodec(seal.NewCache(seal.RemoteKeys(keyring), seal.MaxCacheAge, keysCached, time.Now), seal.RemoteMaker(keyring), protoregistry.GlobalTypes, upcast.Step)
	identityLog := eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(toIdentity, config.IdentityURL, serve.ClientInterceptors()))
	rows := store.New(s.pool, time.Now)

	// Media's own log is read where it is: the tail alone is fast enough, and keeps
	// the log's order, on which erasure relies.
	s.files = s.follow(files.Projection{}, codec, app.LogName, s.log, nil)
	s.eraser = s.follow(eraser.New(seal.RemoteDestroyer(keyring)), codec, app.LogName, s.log, nil)

	s.pictures = picture.New(picture.Config{})
	media := app.New(app.Config{
		Log:            s.log,
		Codec:          codec,
		Rows:           rows,
		Objects:        s.objects,
		Pictures:       s.pictures,
		Files:          s.files,
		Accounts:       accounts{identityLog},
		Now:            time.Now,
		NewID:          uuid.NewV7,
		MaxFileBytes:   config.MaxFileBytes,
		URLLifetime:    config.URLLifetime,
		UploadLifetime: config.UploadLifetime,
	})
	s.sweeper = sweeper.New(rows, s.objects, media.Keeper, sweeper.NewUploaded(s.objects, rows, time.Now), s.logger)

	var subscriber message.Subscriber
	if s.connection != nil {
		s.subscriber = broker.NewSubscriber(s.connection, broker.Topology{Queue: queue, Bindings: []string{binding}})
		subscriber = s.subscriber
	}
	s.erasure = s.follow(erasure.New(media.Erasure, rows, s.files), codec, identity, identityLog, subscriber)
	return media
}

func (s *Service) follow(rows projection.Projection, codec projection.Decoder, log string, source projection.Source, subscriber message.Subscriber) *projection.Projector {
	return projection.New(projection.Config{
		Pool:       s.pool,
		Log:        log,
		Projection: rows,
		Codec:      codec,
		Source:     source,
		Subscriber: subscriber,
		Queue:      queue,
		Decode:     broker.Decode,
		Logger:     s.logger,
		Tracers:    s.observed.Tracers(),
	})
}

// view shows operators media's events, with keys that are asked for each time.
func (s *Service) view(config Config) *view.Handler {
	toIdentity := s.upstreams[identity]
	keyring := keyringv1connect.NewKeyringServiceClient(toIdentity, config.IdentityURL, serve.ClientInterceptors())
	return view.NewHandler(view.Config{
		Log:     s.log,
		Codec:   seal.NewCodec(seal.RemoteKeys(keyring), seal.RemoteMaker(keyring), protoregistry.GlobalTypes, upcast.Step),
		Caller:  rpc.Caller,
		People:  eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(toIdentity, config.IdentityURL, serve.ClientInterceptors())),
		Leaving: s.leaving,
		Now:     time.Now,
		NewID:   uuid.NewV7,
	})
}

// upstream is the client of another service.
func (s *Service) upstream(self certificate.Identity, name, url string) *http.Client {
	client := serve.InternalClient(self, name, url)
	s.upstreams[name] = client
	return client
}

// bind mounts the services and binds the port.
func (s *Service) bind(config Config, self certificate.Identity, media app.App) error {
	credentials := credentialsv1connect.NewCredentialsServiceClient(
		s.upstream(self, "credentials", config.CredentialsURL), config.CredentialsURL, serve.ClientInterceptors())
	interceptors := serve.Config{
		Logger: s.logger,
		Verifier: token.NewVerifier(token.VerifierConfig{
			Issuer:   config.TokenIssuer,
			Audience: config.TokenAudience,
			Keys:     token.NewRemoteKeys(token.PublishedBy(credentials), time.Now),
			Now:      time.Now,
		}),
	}
	options := serve.Interceptors(interceptors)
	uploads := interceptors
	uploads.MaxRequestBytes = maxRequestBytes
	mux := http.NewServeMux()
	mux.Handle(mediav1connect.NewMediaServiceHandler(rpc.NewMedia(media), serve.Interceptors(uploads)))
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(eventlog.Patient(s.log, s.leaving)), options))
	mux.Handle(eventlogv1connect.NewLogServiceHandler(eventlog.NewKeeper(s.log), options))
	mux.Handle(eventlogv1connect.NewEventViewServiceHandler(s.view(config), options))
	if err := s.observe(config); err != nil {
		return err
	}
	mux.Handle(statusv1connect.NewStatusServiceHandler(s.observed.Monitor(), options))
	mux.Handle(projectionv1connect.NewProjectionServiceHandler(operations.NewHandler(service, access.Actor, s.files, s.eraser, s.erasure), options))
	alive := database.Alive(s.pool)
	serve.Diagnostics(mux, func() bool { return s.serving.Load() && alive() }, services()...)
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
//  2. the server takes no more calls, and those under way end, within 5 seconds
//  3. projections, sweeper, forwarder and the log's notifier stop; what they
//     leave, the next ones find
//  4. the connections to broker, storage and database are closed, and the last
//     spans go to their collector
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	parts := []func(context.Context) error{
		s.log.Run, s.files.Run, s.eraser.Run, s.erasure.Run, s.objects.Run, s.sweeper.Run, s.observed.Run,
	}
	if s.forwarder != nil {
		parts = append(parts, s.forwarder.Run)
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

// close closes what wire has opened, however far it came.
func (s *Service) close() {
	if s.subscriber != nil {
		_ = s.subscriber.Close() // none of the three has anything to say
	}
	if s.publisher != nil {
		_ = s.publisher.Close()
	}
	if s.connection != nil {
		_ = s.connection.Close()
	}
	for _, upstream := range s.upstreams {
		upstream.CloseIdleConnections()
	}
	if s.pictures != nil {
		s.pictures.Wait()
	}
	if s.objects != nil {
		s.objects.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.observed.Close()
}

// services are what media serves.
func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		mediav1.File_muster_media_v1_media_proto.Services().ByName("MediaService"),
		eventlogv1.File_muster_eventlog_v1_eventlog_proto.Services().ByName("EventLogService"),
		eventlogv1.File_muster_eventlog_v1_log_proto.Services().ByName("LogService"),
		eventlogv1.File_muster_eventlog_v1_view_proto.Services().ByName("EventViewService"),
		statusv1.File_muster_status_v1_status_proto.Services().ByName("StatusService"),
		projectionv1.File_muster_projection_v1_projection_proto.Services().ByName("ProjectionService"),
	}
}
