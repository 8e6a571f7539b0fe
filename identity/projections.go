package identity

import (
	"context"
	"fmt"
	"net/http"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/forwarder"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/view"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/avatars"
	"github.com/muster-id/muster/identity/internal/eraser"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
)

const (
	// mediaLog is the name of media's event log.
	mediaLog = "media"
	// The queues of the projections, and the events that they want.
	usersQueue, usersBinding     = "identity.users", "identity.user.*"
	avatarsQueue, avatarsBinding = "identity.avatars", "media.avatar.*"
)

// followers are what follows a log in this process: the projections that lists
// and pictures are read from, the eraser, and the forwarder to the broker.
type followers struct {
	users, avatars *projection.Projector
	eraser         *eraser.Eraser
	rows           *avatars.Rows
	toMedia        *http.Client
	// Nil without a broker: the connection of what is received, and of what is sent.
	connection *broker.Connection
	subscriber *broker.Subscriber
	publishing *broker.Connection
	publisher  *broker.Publisher
	forwarder  *forwarder.Forwarder
}

// follow wires them. They wait for nothing: without media or the broker they
// catch up later.
func (s *Service) follow(ctx context.Context, config Config, self certificate.Identity, events *pgxpool.Pool, codec eventstore.Codec, ring *keyring.Keyring) error {
	f := &s.followers
	var subscriber message.Subscriber
	if !config.BrokerURL.Empty() {
		var err error
		// close ends it; it has to outlive the context that New is given.
		f.connection, err = broker.Connect(context.WithoutCancel(ctx), broker.Config{URL: config.BrokerURL, Logger: s.logger})
		if err != nil {
			return fmt.Errorf("MUSTER_IDENTITY_BROKER_URL: %w", err)
		}
		f.subscriber = broker.NewSubscriber(f.connection,
			broker.Topology{Queue: usersQueue, Bindings: []string{usersBinding}},
			broker.Topology{Queue: avatarsQueue, Bindings: []string{avatarsBinding}})
		subscriber = f.subscriber
		f.publishing, err = broker.Connect(context.WithoutCancel(ctx), broker.Config{URL: config.BrokerURL, Logger: s.logger})
		if err != nil {
			return fmt.Errorf("MUSTER_IDENTITY_BROKER_URL: %w", err)
		}
		f.publisher = broker.NewPublisher(f.publishing)
		f.forwarder = forwarder.New(s.log, forwarder.Config{Publisher: f.publisher, Logger: s.logger, Unpublished: view.Recorded(), Tracers: s.observed.Tracers()})
	}
	f.users = projection.New(projection.Config{
		Pool:       events,
		Log:        app.LogName,
		Projection: users.Projection{},
		Codec:      users.WithoutPasswords(codec),
		Source:     s.log,
		Subscriber: subscriber,
		Queue:      usersQueue,
		Decode:     broker.Decode,
		Logger:     s.logger,
		Tracers:    s.observed.Tracers(),
	})
	f.toMedia = serve.InternalClient(self, mediaLog, config.MediaURL)
	f.avatars = projection.New(projection.Config{
		Pool:       events,
		Log:        mediaLog,
		Projection: avatars.Projection{},
		Codec:      codec,
		Source:     eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(f.toMedia, config.MediaURL, serve.ClientInterceptors())),
		Subscriber: subscriber,
		Queue:      avatarsQueue,
		Decode:     broker.Decode,
		Logger:     s.logger,
		Tracers:    s.observed.Tracers(),
	})
	f.rows = avatars.NewRows(events)
	f.eraser = eraser.New(eraser.Config{Log: s.log, Codec: codec, Keys: ring, Rows: f.rows, Logger: s.logger})
	return nil
}

// close closes what follow has opened, however far it came.
func (f *followers) close() {
	if f.subscriber != nil {
		_ = f.subscriber.Close() // neither this
		_ = f.connection.Close() // nor that has anything to say
	}
	if f.publisher != nil {
		_ = f.publisher.Close()
		_ = f.publishing.Close()
	}
	if f.toMedia != nil {
		f.toMedia.CloseIdleConnections()
	}
}
