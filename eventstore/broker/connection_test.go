package broker

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

func TestConnectionStartsWithoutABrokerAndFindsItLater(t *testing.T) {
	t.Parallel()
	vhost, err := url.Parse(teststack.VirtualHost(t))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	late := *vhost
	late.Host = address
	connection := connect(t, late.String())
	require.ErrorIs(t, NewPublisher(connection).PublishBatch(t.Context(), events(t, 1, 1)), ErrNotConnected)

	listener, err = net.Listen("tcp", address)
	require.NoError(t, err)
	n := &network{listener: listener, target: vhost.Host}
	n.wait.Go(n.accept)
	t.Cleanup(func() { _ = listener.Close(); n.cut(); n.wait.Wait() })
	waitUp(t, connection, true)
}

func TestConnectionComesBackAfterEachLoss(t *testing.T) {
	t.Parallel()
	n, url := through(t, teststack.VirtualHost(t))
	connection := connected(t, url)
	for range 3 {
		_, changed := connection.state()
		n.cut()
		<-changed
		waitUp(t, connection, true)
	}
}

func TestConnectionNeverLogsThePassword(t *testing.T) {
	t.Parallel()
	const password = "correct-horse"
	for _, url := range []string{"amqp://u:" + password + "@%zz/", "http://u:" + password + "@127.0.0.1/", "amqp://u:" + password + "@127.0.0.1:port/"} {
		_, err := Connect(t.Context(), Config{URL: secret.New(url), Logger: slog.New(slog.DiscardHandler)})
		require.ErrorIs(t, err, ErrInvalidURL)
		require.NotContains(t, err.Error(), password)
	}

	// A broker that refuses the password is the one that makes errors about it.
	refused, err := url.Parse(teststack.VirtualHost(t))
	require.NoError(t, err)
	refused.User = url.UserPassword("nobody", password)
	log := &logged{}
	connection, err := Connect(t.Context(), Config{URL: secret.New(refused.String()), Logger: slog.New(slog.NewJSONHandler(log, nil))})
	require.NoError(t, err)
	eventually(t, "refusal is logged", func() bool { return strings.Contains(log.String(), "broker is down") })
	require.NoError(t, connection.Close())
	require.NotContains(t, log.String(), password)
}

func TestConnectionLogsAChangeOfStateOnce(t *testing.T) {
	t.Parallel()
	log := &logged{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // nothing is pending
	connection, err := Connect(t.Context(), Config{URL: secret.New("amqp://" + listener.Addr().String()), Logger: slog.New(slog.NewJSONHandler(log, nil))})
	require.NoError(t, err)
	for range 4 { // tries, each cut off
		conn, err := listener.Accept()
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, connection.Close())
	require.Equal(t, 1, strings.Count(log.String(), "broker is down"), log.String())
}

// Operators see whether there is a connection, and never where to.
func TestWhetherThereIsAConnectionShows(t *testing.T) {
	t.Parallel()
	n, url := through(t, teststack.VirtualHost(t))
	connection := connected(t, url)
	shown := func() (state statusv1.State, problem string, metric float64) {
		state, problem, _ = connection.Probe(t.Context())
		connection.Metrics("publish")(func(name, help string, value float64, labels ...string) {
			require.Equal(t, "muster_broker_connected", name)
			require.NotEmpty(t, help)
			require.Equal(t, []string{"for", "publish"}, labels)
			metric = value
		})
		return state, problem, metric
	}
	state, problem, metric := shown()
	require.Equal(t, statusv1.State_STATE_UP, state)
	require.Empty(t, problem)
	require.EqualValues(t, 1, metric)
	require.NoError(t, n.listener.Close()) // so that it does not come back
	n.cut()
	waitUp(t, connection, false)
	state, problem, metric = shown()
	require.Equal(t, statusv1.State_STATE_DOWN, state)
	require.Equal(t, "not connected", problem)
	require.Zero(t, metric)
}
