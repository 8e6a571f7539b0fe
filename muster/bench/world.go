package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// world is the system that is measured: what `muster up --separate` starts, on
// servers that keep their data as safely as a deployment's do.
type world struct {
	*system.System
	dir     string
	broker  bool
	clients []*http.Client
	// operator works on projections, as the command line does.
	operator *operator.Client
	// events is the pool of identity's database, as identity itself has it.
	events *pgxpool.Pool
}

// open starts the system, or takes the one that runs. With another wish about
// the broker it is started anew, on the data that it has.
func (b *bench) open(ctx context.Context, broker bool) (*world, error) {
	if b.world != nil && b.world.broker == broker {
		return b.world, nil
	}
	if err := b.close(); err != nil {
		return nil, err
	}
	with := "without RabbitMQ"
	if broker {
		with = "with RabbitMQ"
	}
	b.say("starting identity, credentials, media and gateway, a process each, %s", with)
	running, err := system.Start(ctx, system.Options{Dir: b.Data, Broker: broker, Separate: true, Environ: withoutServers(os.Environ()), Progress: b.progress})
	if err != nil {
		return nil, err
	}
	w := &world{System: running, dir: b.Data, broker: broker}
	b.world = w
	places := operator.Places{Certificates: running.Certificates, URLs: map[string]string{}}
	for name, address := range running.Services {
		places.URLs[name] = "https://" + address
	}
	if w.operator, err = operator.Open(places); err == nil {
		w.events, err = database.Open(ctx, running.Databases["identity"], "bench", 8)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return w, nil
}

// close stops the system, where one runs.
func (b *bench) close() error {
	if b.world == nil {
		return nil
	}
	w := b.world
	b.world = nil
	for _, client := range w.clients {
		client.CloseIdleConnections()
	}
	if w.operator != nil {
		w.operator.Close()
	}
	if w.events != nil {
		w.events.Close()
	}
	return w.Stop()
}

// clear deletes the data, unless they are to be kept.
func (b *bench) clear() error {
	if b.keep {
		return nil
	}
	return devstack.Remove(b.Data)
}

// withoutServers leaves out the addresses of servers of somebody else's: others
// would disturb what is measured, and it them.
func withoutServers(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case devstack.PostgresEnv, devstack.BrokerEnv, devstack.S3Env:
		default:
			kept = append(kept, pair)
		}
	}
	return kept
}

// as is a client of a service with somebody's certificate.
func (w *world) as(caller, service string) (client *http.Client, url string, err error) {
	self, err := certificate.Load(w.Certificates, caller)
	if err != nil {
		return nil, "", err
	}
	url = "https://" + w.Services[service]
	client = serve.InternalClient(self, service, url)
	w.clients = append(w.clients, client)
	return client, url, nil
}

// stream reads identity's log as credentials does.
func (w *world) stream() (*eventlog.Client, error) {
	client, url, err := w.as("credentials", "identity")
	if err != nil {
		return nil, err
	}
	return eventlog.NewClient(eventlogv1connect.NewEventLogServiceClient(client, url, serve.ClientInterceptors())), nil
}

// maker has keys made. Media's certificate, since the keyring makes keys for
// services that seal events of their own and are not part of identity; all
// services that open events may read them.
func (w *world) maker() (seal.Maker, error) {
	client, url, err := w.as("media", "identity")
	if err != nil {
		return nil, err
	}
	return seal.RemoteMaker(keyringv1connect.NewKeyringServiceClient(client, url, serve.ClientInterceptors())), nil
}

// credentials is called as the gateway calls it.
func (w *world) credentials() (credentialsv1connect.CredentialsServiceClient, error) {
	client, url, err := w.as("gateway", "credentials")
	if err != nil {
		return nil, err
	}
	return credentialsv1connect.NewCredentialsServiceClient(client, url, serve.ClientInterceptors()), nil
}

// asAdmin connects to a service's database as one who may do everything.
func (w *world) asAdmin(ctx context.Context, service string) (*pgx.Conn, error) {
	return connectTo(ctx, w.Servers.AdminURL, "muster_"+service)
}

// connectTo connects to another database of a server.
func connectTo(ctx context.Context, server secret.String, name string) (*pgx.Conn, error) {
	address, err := url.Parse(server.Reveal())
	if err != nil {
		return nil, errors.New("the server's address is not a URL")
	}
	address.Path = "/" + name
	conn, err := pgx.Connect(ctx, address.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the database %s: %w", name, err)
	}
	return conn, nil
}

// tidy does to a database what autovacuum does sooner or later, and flushes what
// is dirty, so that none of it falls into what is measured next.
func (w *world) tidy(ctx context.Context, service string) error {
	conn, err := w.asAdmin(ctx, service)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	for _, statement := range []string{`VACUUM (ANALYZE)`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("tidy the database of %s: %w", service, err)
		}
	}
	return nil
}

// settle waits until every projection of every service holds all of its log.
func (w *world) settle(ctx context.Context, say func(string, ...any)) error {
	began, told := time.Now(), time.Now()
	for {
		all, err := w.operator.Projections(ctx)
		if err != nil {
			return err
		}
		behind := behindOf(all.GetProjections())
		if behind == "" {
			break
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			say("waiting for %s", behind)
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %s: %w", behind, err)
		}
	}
	if took := time.Since(began); took > time.Second {
		say("every projection holds all of its log (waited %.0f s)", took.Seconds())
	}
	return nil
}

// behindOf names a projection that does not hold all; empty for none.
func behindOf(projections []*musterv1.Projection) string {
	for _, p := range projections {
		if p.GetState() != musterv1.ProjectionState_PROJECTION_STATE_LIVE || p.GetLagEvents() > 0 {
			return fmt.Sprintf("%s, which is %d events behind and applies %.0f/s", p.GetName(), p.GetLagEvents(), p.GetEventsPerSecond())
		}
	}
	return ""
}
