package forwarder

import (
	"context"
	"time"

	"github.com/muster-id/muster/eventstore"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// heldUpFor is how long it may not get on before it shows.
const heldUpFor = 30 * time.Second

// Probe tells operators how it is doing. It is never down: projections read the
// log, a little later.
func (f *Forwarder) Probe(context.Context) (state statusv1.State, problem string, err error) {
	stats := f.Stats()
	if stats.HeldUpSince.IsZero() || time.Since(stats.HeldUpSince) < heldUpFor {
		return statusv1.State_STATE_UP, "", nil
	}
	return statusv1.State_STATE_DEGRADED, "events do not reach the broker", stats.Err
}

// Metrics gives what it does with a log of that name.
func (f *Forwarder) Metrics(log string) func(eventstore.Emit) {
	return func(emit eventstore.Emit) {
		stats := f.Stats()
		leading := 0.0
		if stats.Leading {
			leading = 1
		}
		give := func(metric, help string, value float64) { emit("muster_forwarder_"+metric, help, value, "log", log) }
		give("leading", "1 in the one process that carries the log to the broker.", leading)
		give("forwarded_total", "Events that the broker has confirmed to this process.", float64(stats.Forwarded))
		give("passed_over_total", "Events that no queue has wanted for 5 s; projections read them from the log.", float64(stats.PassedOver))
		give("pending_events", "Events that were read from the log and are not confirmed by the broker yet.", float64(stats.Pending))
		give("lag_seconds", "Age of the oldest event that was read and is not confirmed; 0 when there is none.", stats.Lag.Seconds())
		var heldUp time.Duration
		if !stats.HeldUpSince.IsZero() {
			heldUp = time.Since(stats.HeldUpSince)
		}
		give("held_up_seconds", "For how long events have not got to the broker; 0 while they do.", heldUp.Seconds())
	}
}
