package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/secret"
)

const (
	brokerName  = "rabbitmq"
	brokerTitle = "RabbitMQ"
	brokerImage = "rabbitmq:3.13.7-management"
	brokerBound = 30 * time.Second // with its management it takes 6 s
	epmdName    = "epmd"
	// node must be the same at each start: RabbitMQ's data lie under this name.
	node = "muster@localhost"
)

// broker is RabbitMQ's part of a stack.
type broker struct {
	kept
	management bool
	account    *syscall.Credential // nil for our own
	epmd       *process
}

// AwaitBroker waits until RabbitMQ has answered for the first time. One at an
// address that does not answer is ErrNotOurs.
func (s *Stack) AwaitBroker(ctx context.Context) error { return s.broker.await(ctx) }

// StopBroker stops RabbitMQ, under a running system. Stopping it twice is no fault.
func (s *Stack) StopBroker() error { return s.broker.down() }

// StartBroker starts a stopped RabbitMQ on the same ports and waits until it
// answers. Starting it twice is no fault.
func (s *Stack) StartBroker(ctx context.Context) error { return s.broker.up(ctx) }

// WipeBroker stops RabbitMQ and deletes all that it holds: queues, messages,
// virtual hosts. StartBroker starts it empty.
func (s *Stack) WipeBroker(ctx context.Context) error {
	s.broker.mutex.Lock()
	defer s.broker.mutex.Unlock()
	if err := s.broker.stop(); err != nil {
		return err
	}
	if s.broker.source.kind == byDocker {
		return s.removeVolume(ctx, brokerName)
	}
	if err := os.RemoveAll(filepath.Join(s.directory.file(brokerName), "data")); err != nil {
		return fmt.Errorf("wipe RabbitMQ: %w", err)
	}
	return nil
}

func (s *Stack) launchBroker(ctx context.Context) (*process, error) {
	password, err := s.directory.password(brokerName)
	if err != nil {
		return nil, err
	}
	if s.broker.source.kind == byDocker {
		return s.launchBrokerContainer(ctx, password)
	}
	return s.launchBrokerProgram(ctx, password)
}

func (s *Stack) launchBrokerProgram(ctx context.Context, password secret.String) (*process, error) {
	account := s.broker.account
	folder, err := s.directory.folder(brokerName, account)
	if err != nil {
		return nil, err
	}
	if err := s.startEpmd(ctx, folder, account); err != nil {
		return nil, err
	}
	if err := s.configureBroker(folder, account, password); err != nil {
		return nil, err
	}
	home, err := brokerHome(s.broker.source.program, folder, s.brokerPlugins()...)
	if err != nil {
		return nil, err
	}
	ports := s.directory.state.Ports
	port := func(name string) string { return strconv.Itoa(ports[name]) }
	death := syscall.SIGTERM
	if s.throwaway {
		death = syscall.SIGKILL
	}
	return s.directory.launch(command{
		name: brokerTitle, log: brokerName, argv: []string{s.broker.source.program},
		env: append(serverEnvironment(folder),
			// The script becomes the server instead of waiting for it, so that
			// signals reach the server itself.
			"RUNNING_UNDER_SYSTEMD=1",
			// epmd is our child already, and the nodes' own port is for this
			// machine only. Every Erlang program reads these.
			"ERL_AFLAGS=-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
			"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+port(epmdPort),
			"ERL_CRASH_DUMP_SECONDS=0",
			"RABBITMQ_SCRIPTS_DIR="+home, // empty for where the script lies
			"RABBITMQ_CONF_ENV_FILE="+filepath.Join(folder, "none"),
			"RABBITMQ_NODENAME="+node,
			"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+port(brokerPort), "RABBITMQ_DIST_PORT="+port(distributionPort),
			"RABBITMQ_MNESIA_BASE="+filepath.Join(folder, "data"),
			"RABBITMQ_LOG_BASE="+folder, "RABBITMQ_LOGS=-",
			"RABBITMQ_PID_FILE="+filepath.Join(folder, "pid"),
			"RABBITMQ_CONFIG_FILE="+filepath.Join(folder, "rabbitmq.conf"),
			"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(folder, "enabled_plugins"),
		),
		dir: folder, account: account,
		// A quorum queue that is killed within a second of its declaration is lost
		// with all its messages, and cannot be used after the next start until it is
		// deleted. Therefore it is asked to end, also at our death.
		death: death, signal: syscall.SIGTERM, bound: brokerBound,
	})
}

func (s *Stack) brokerPlugins() []string {
	if s.broker.management {
		return []string{"rabbitmq_management"}
	}
	return nil
}

// startEpmd runs the name server that Erlang programs meet at; RabbitMQ would
// start one that outlives it.
func (s *Stack) startEpmd(ctx context.Context, folder string, account *syscall.Credential) error {
	if s.broker.epmd != nil {
		return nil
	}
	port := s.directory.state.Ports[epmdPort]
	epmd, err := s.directory.launch(command{
		name: epmdName, log: epmdName, argv: []string{s.broker.source.epmd, "-port", strconv.Itoa(port), "-address", "127.0.0.1"},
		env: serverEnvironment(folder), dir: folder, account: account,
		death: syscall.SIGKILL, signal: syscall.SIGKILL, bound: probeBound,
	})
	if err != nil {
		return err
	}
	s.broker.epmd = epmd
	return epmd.await(ctx, s.progress, func(ctx context.Context) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", local(port))
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func (s *Stack) configureBroker(folder string, account *syscall.Credential, password secret.String) error {
	settings := []string{
		"listeners.tcp.1 = " + local(s.directory.state.Ports[brokerPort]),
		"default_user = " + role,
		"default_pass = " + password.Reveal(),
	}
	plugins := "[" + strings.Join(s.brokerPlugins(), ",") + "]."
	if s.broker.management {
		settings = append(settings, "management.tcp.ip = 127.0.0.1",
			"management.tcp.port = "+strconv.Itoa(s.directory.state.Ports[managementPort]))
	}
	for name, text := range map[string]string{"rabbitmq.conf": strings.Join(settings, "\n"), "enabled_plugins": plugins} {
		path := filepath.Join(folder, name)
		if err := durable.Write(path, []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("configure RabbitMQ: %w", err)
		}
		if account == nil {
			continue
		}
		if err := os.Lchown(path, int(account.Uid), int(account.Gid)); err != nil {
			return fmt.Errorf("configure RabbitMQ: %w", err)
		}
	}
	return nil
}

func (s *Stack) launchBrokerContainer(ctx context.Context, password secret.String) (*process, error) {
	ports := map[int]int{s.directory.state.Ports[brokerPort]: 5672}
	if s.broker.management {
		ports[s.directory.state.Ports[managementPort]] = 15672
	}
	return s.launchContainer(ctx, container{
		server: brokerName, title: brokerTitle, image: s.broker.source.image,
		ports: ports, volume: "/var/lib/rabbitmq", hostname: "muster",
		environment: []string{"RABBITMQ_DEFAULT_USER=" + role, "RABBITMQ_DEFAULT_PASS=" + password.Reveal()},
		signal:      syscall.SIGTERM, bound: brokerBound,
	})
}

// pingBroker opens a connection, and asks the management API where it is on:
// it comes up a little later.
func (s *Stack) pingBroker(ctx context.Context) error {
	connection, err := amqp.DialConfig(s.AMQPURL.Reveal(), amqp.Config{Dial: func(network, address string) (net.Conn, error) {
		socket, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		deadline, _ := ctx.Deadline() // a probe has one
		return socket, socket.SetDeadline(deadline)
	}})
	if err != nil {
		return err
	}
	if err := connection.Close(); err != nil {
		return err
	}
	if !s.broker.management {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ManagementURL.Reveal()+"/api/whoami", nil)
	if err != nil {
		return errors.New("the address of the management API is not a URL")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("management API: %s", response.Status)
	}
	return nil
}
