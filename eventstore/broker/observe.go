package broker

import (
	"context"

	"github.com/muster-id/muster/eventstore"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// Probe tells operators whether there is a connection to the broker.
func (c *Connection) Probe(context.Context) (state statusv1.State, problem string, err error) {
	if link, _ := c.state(); link == nil {
		return statusv1.State_STATE_DOWN, "not connected", nil
	}
	return statusv1.State_STATE_UP, "", nil
}

// Metrics gives the connection's state. The name tells apart what it is for.
func (c *Connection) Metrics(purpose string) func(eventstore.Emit) {
	return func(emit eventstore.Emit) {
		connected := 0.0
		if link, _ := c.state(); link != nil {
			connected = 1
		}
		emit("muster_broker_connected", "1 while there is a connection to RabbitMQ, for what it is there.", connected, "for", purpose)
	}
}
