package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"syscall"

	"github.com/muster-id/muster/platform/secret"
)

// Config says which servers to run, and where.
type Config struct {
	// Dir is the data directory; it is made if missing.
	Dir string
	// Broker runs RabbitMQ besides PostgreSQL.
	Broker bool
	// ObjectServer runs S3 besides; without a command there is none.
	ObjectServer ObjectServer
	// Management switches RabbitMQ's management API on. Stopping it then takes
	// some seconds longer.
	Management bool
	// Throwaway is for tests: empty servers at each start, that trade the
	// safety of their data for speed, on ports that are not the usual ones.
	Throwaway bool
	// RaceTools installs what `go test -race` lacks on this machine.
	RaceTools bool
	// Progress is told each step in a line; nil for silence.
	Progress io.Writer
	// Getenv reads the environment; nil for this process's.
	Getenv func(string) string
}

// Stack is running servers. Its addresses hold passwords.
type Stack struct {
	// AdminURL is PostgreSQL's, of a role that may create roles and databases.
	AdminURL secret.String
	// AMQPURL is RabbitMQ's, virtual host /; empty without a broker.
	AMQPURL secret.String
	// ManagementURL is the address of RabbitMQ's management API, without a path;
	// empty unless it is on.
	ManagementURL secret.String
	// S3 is where objects are; empty without an object server.
	S3 S3

	machine        machine
	progress       *progress
	directory      *directory
	reserved       reservations
	throwaway      bool
	account        *syscall.Credential // of PostgreSQL; nil for our own
	database       sync.Mutex          // for postgres
	postgres       *process            // nil where somebody else runs it
	postgresSource source              // where PostgreSQL comes from
	broker         broker
	objects        objects
	watchers       sync.WaitGroup
	failed         chan error
	// life ends with Stop.
	life   context.Context //nolint:containedctx // starts outlive the calls that begin them
	cancel context.CancelFunc
}

// Server describes a running server of ours.
type Server struct {
	Name    string
	Address string // host:port
	PID     int
	Log     string // path
}

// Start starts the servers and returns when PostgreSQL answers. S3 and RabbitMQ,
// which takes seconds longer, are on their way then, their addresses known:
// AwaitS3 and AwaitBroker wait for them. The context bounds Start, not the life of the servers, which Stop
// ends. A data directory that is in use is a *BusyError, a program that cannot
// be had a *MissingError.
func Start(ctx context.Context, config Config) (*Stack, error) {
	if config.Getenv == nil {
		config.Getenv = os.Getenv
	}
	directory, err := openDirectory(ctx, config.Dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		machine: computer{config.Getenv}, progress: newProgress(config.Progress), directory: directory,
		throwaway: config.Throwaway, failed: make(chan error, 1),
	}
	s.life, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.broker.management = config.Management
	s.broker.kept = kept{
		name: brokerName, title: brokerTitle, port: brokerPort, env: BrokerEnv,
		launch: s.launchBroker, ping: s.pingBroker, stack: s, started: make(chan struct{}),
	}
	s.objects.server = config.ObjectServer
	s.objects.kept = kept{
		name: objectsName, title: objectsTitle, port: objectsPort, env: S3Env,
		launch: s.launchObjects, ping: s.pingObjects, stack: s, started: make(chan struct{}),
	}
	if err := s.start(ctx, config); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, config Config) error {
	if s.throwaway {
		if err := s.discard(); err != nil {
			return err
		}
	}
	sources, err := s.find(ctx, config)
	if err != nil {
		return err
	}
	s.broker.source, s.postgresSource = sources[brokerName], sources[postgresName]
	s.objects.source = s.findObjects(config)
	if err := s.removeLeft(ctx, sources); err != nil {
		return err
	}
	if err := s.remember(sources, config); err != nil {
		return err
	}
	if err := s.address(sources[postgresName], config); err != nil {
		return err
	}
	if err := s.findAccounts(ctx, sources[postgresName]); err != nil {
		return err
	}

	s.broker.startFirst()
	s.objects.startFirst()
	if err := s.startPostgres(ctx, sources[postgresName]); err != nil {
		return err
	}
	s.watch(s.postgres)
	return nil
}

func (s *Stack) find(ctx context.Context, config Config) (map[string]source, error) {
	folder := s.directory.file(postgresName)
	version, err := postgresVersion(folder)
	if err != nil {
		return nil, err
	}
	parts := []part{{
		name: postgresTitle, key: postgresName, env: PostgresEnv, image: postgresImage, packages: []string{"postgresql"},
		program: findPostgres(version, folder), remembered: s.directory.state.Kinds[postgresName],
	}}
	if config.Broker {
		parts = append(parts, part{
			name: brokerTitle, key: brokerName, env: BrokerEnv, image: brokerImage, packages: []string{"rabbitmq-server"},
			program: findBroker, remembered: s.directory.state.Kinds[brokerName],
		})
	}
	var further []string
	if config.RaceTools {
		further = raceTools(ctx, s.machine)
	}
	install := aptInstaller(s.machine, s.progress, func() (*os.File, error) { return s.directory.log("install") })
	return find(ctx, s.machine, s.progress, install, parts, further...)
}

// remember chooses the ports, the usual ones where they are free, and writes
// down what the next start must find again.
func (s *Stack) remember(sources map[string]source, config Config) error {
	wanted := map[string]int{}
	if kind := sources[postgresName].kind; kind != byAddress {
		wanted[postgresPort] = 5432
		s.directory.state.Kinds[postgresName] = kind
	}
	if config.Broker && s.broker.ours() {
		wanted[brokerPort] = 5672
		if config.Management {
			wanted[managementPort] = 15672
		}
		if s.broker.source.kind == byProgram {
			// epmd's usual one, 4369, is left to the machine's.
			wanted[epmdPort], wanted[distributionPort] = 0, 0
		}
		s.directory.state.Kinds[brokerName] = s.broker.source.kind
	}
	if s.objects.ours() {
		wanted[objectsPort] = 9000
	}
	_, err := s.Ports(wanted)
	return err
}

// findAccounts looks up whom the programs run as.
func (s *Stack) findAccounts(ctx context.Context, postgres source) error {
	var err error
	if postgres.kind == byProgram {
		s.account, err = serverAccount(ctx, s.machine, s.progress, "postgres")
		if err != nil {
			return err
		}
	}
	if s.broker.source.kind == byProgram {
		s.broker.account, err = serverAccount(ctx, s.machine, s.progress, "rabbitmq")
		if err != nil {
			return err
		}
	}
	if s.objects.ours() && executableByOthers(s.objects.source.program) {
		s.objects.account, err = serverAccount(ctx, s.machine, s.progress, "postgres")
	}
	return err
}

// address tells where the servers will be.
func (s *Stack) address(postgres source, config Config) error {
	ports := s.directory.state.Ports
	s.AdminURL = postgres.url
	if postgres.kind != byAddress {
		password, err := s.directory.password(postgresName)
		if err != nil {
			return err
		}
		admin := url.URL{Scheme: "postgres", User: url.UserPassword(role, password.Reveal()), Host: local(ports[postgresPort]), Path: "/postgres", RawQuery: "sslmode=disable"}
		s.AdminURL = secret.New(admin.String())
	}
	if err := s.addressObjects(); err != nil {
		return err
	}
	if !config.Broker {
		return nil
	}
	if !s.broker.ours() {
		s.AMQPURL = s.broker.source.url
		s.ManagementURL = secret.New(config.Getenv(BrokerAPIEnv))
		if config.Management && s.ManagementURL.Empty() {
			return fmt.Errorf("%s is set but not %s, the address of its management API", BrokerEnv, BrokerAPIEnv)
		}
		return nil
	}
	password, err := s.directory.password(brokerName)
	if err != nil {
		return err
	}
	user := url.UserPassword(role, password.Reveal())
	amqp := url.URL{Scheme: "amqp", User: user, Host: local(ports[brokerPort]), Path: "/"}
	s.AMQPURL = secret.New(amqp.String())
	if config.Management {
		api := url.URL{Scheme: "http", User: user, Host: local(ports[managementPort])}
		s.ManagementURL = secret.New(api.String())
	}
	return nil
}

// watch reports a server that ends by itself. It ends with the server.
func (s *Stack) watch(p *process) {
	if p == nil {
		return
	}
	s.watchers.Go(func() {
		<-p.child.Done()
		if p.stopping.Load() {
			return
		}
		s.fail(p.ended())
	})
}

func (s *Stack) fail(err error) {
	select {
	case s.failed <- err:
	default: // one failure is enough to stop everything
	}
}

// Failed gives the error of a PostgreSQL that ended by itself, or of a RabbitMQ
// or S3 that did not come up at the start, with the end of its log. One of these
// two that ends later is started again.
func (s *Stack) Failed() <-chan error { return s.failed }

// Servers are those that this stack runs at the moment; ones at addresses from
// the environment are not among them.
func (s *Stack) Servers() []Server {
	s.broker.mutex.Lock()
	defer s.broker.mutex.Unlock()
	s.objects.mutex.Lock()
	defer s.objects.mutex.Unlock()
	var servers []Server
	add := func(p *process, port string) {
		if p != nil {
			servers = append(servers, Server{Name: p.name, Address: local(s.directory.state.Ports[port]), PID: p.child.PID(), Log: p.log})
		}
	}
	s.database.Lock()
	add(s.postgres, postgresPort)
	s.database.Unlock()
	add(s.broker.process, brokerPort)
	add(s.broker.epmd, epmdPort)
	add(s.objects.process, objectsPort)
	return servers
}

// Stop ends S3, RabbitMQ, PostgreSQL and epmd, in this order, each within a
// bound past which it is killed, and lets the data directory go.
func (s *Stack) Stop() error {
	s.cancel()
	errs := []error{s.objects.end(), s.broker.end()}
	for _, p := range []*process{s.postgres, s.broker.epmd} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	s.postgres = nil
	s.watchers.Wait()
	if s.throwaway {
		containers := s.containers()
		errs = append(errs, s.discard())
		for _, server := range containers {
			errs = append(errs, s.removeVolume(context.Background(), server))
		}
	}
	s.reserved.release()
	s.directory.close()
	return errors.Join(errs...)
}

// discard deletes the servers' data. Volumes of Docker, which may not answer,
// are only marked.
func (s *Stack) discard() error {
	var errs []error
	for _, server := range servers() {
		errs = append(errs, removeData(s.directory.path, server))
	}
	for _, server := range s.containers() {
		errs = append(errs, s.directory.markVoid(server))
	}
	s.directory.state.Kinds = map[string]kind{}
	return errors.Join(errs...)
}
