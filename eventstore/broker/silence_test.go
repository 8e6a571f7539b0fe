package broker

import (
	"log/slog"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

// Queues that were lost together are made again together: the connection that the
// silence of one ends was silent to the other as well.
func TestQueuesWithoutALeaderDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	url := teststack.VirtualHost(t)
	lost := []Topology{users, {Queue: "identity.users", Bindings: users.Bindings}}
	unanswered, deleted := make([]atomic.Int32, len(lost)), make([]atomic.Int32, len(lost))
	n, distant := through(t, url)
	n.swallow(func(frame []byte) bool {
		const basic, consume, queue, remove = 60, 20, 50, 40
		for i, of := range lost {
			if calls(frame, queue, remove, of.Queue) {
				deleted[i].Add(1)
			}
			if calls(frame, basic, consume, of.Queue) && deleted[i].Load() == 0 {
				unanswered[i].Add(1)
				return true
			}
		}
		return false
	})
	log := &logged{}
	connection, err := Connect(t.Context(), Config{URL: secret.New(distant), Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	defer connection.Close() //nolint:errcheck // it has no error
	subscriber := NewSubscriber(connection, lost...)
	subscriber.consumeTimeout = 2 * time.Second
	defer subscriber.Close() //nolint:errcheck // it has no error
	for _, of := range lost {
		declared(t, url, of)
		_, err := subscriber.Subscribe(t.Context(), of.Queue)
		require.NoError(t, err)
	}
	for i, of := range lost {
		eventually(t, "it is consumed", func() bool {
			return regexp.MustCompile(`msg=consuming .*queue=` + regexp.QuoteMeta(of.Queue)).MatchString(log.String())
		})
		require.EqualValues(t, 1, deleted[i].Load(), of.Queue)
		require.Less(t, unanswered[i].Load(), int32(2*muteLimit), of.Queue)
	}
}
