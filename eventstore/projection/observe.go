package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// HeldUpFor is how long work may not get on before it shows: a retry or two is
// nobody's business.
const HeldUpFor = 30 * time.Second

// Probe tells operators how the projection is: down when events wait and are not
// applied, degraded when rows are older than they should be.
func (p *Projector) Probe(context.Context) (state statusv1.State, problem string, err error) {
	return p.Stats().probe(time.Now())
}

func (s Stats) probe(now time.Time) (state statusv1.State, problem string, err error) {
	if s.LastError != "" {
		err = errors.New(s.LastError)
	}
	heldUp := !s.HeldUpSince.IsZero() && now.Sub(s.HeldUpSince) >= HeldUpFor
	switch {
	case s.State == RebuildNeeded:
		return statusv1.State_STATE_DOWN, "the log has entered a new epoch; the rows are made anew", err
	case heldUp && s.HeldUp == unread && s.BrokerDelivers:
		return statusv1.State_STATE_DEGRADED, unread, err
	case heldUp:
		return statusv1.State_STATE_DOWN, s.HeldUp, err
	case s.State == CatchingUp:
		return statusv1.State_STATE_DEGRADED, "it catches up with the log", nil
	case s.Parked > 0:
		return statusv1.State_STATE_DEGRADED, fmt.Sprintf("streams that wait behind an event which cannot be applied: %d", s.Parked), nil
	}
	return statusv1.State_STATE_UP, "", nil
}

// Metrics gives what the projection does.
func (p *Projector) Metrics(emit eventstore.Emit) {
	stats, name := p.Stats(), p.projection.Name()
	var heldUp time.Duration
	if !stats.HeldUpSince.IsZero() {
		heldUp = time.Since(stats.HeldUpSince)
	}
	give := func(metric, help string, value float64) {
		emit("muster_projection_"+metric, help, value, "projection", name)
	}
	give("applied_total", "Events applied by this process.", float64(stats.Applied))
	give("batches_total", "Batches of events applied, each in one transaction.", float64(stats.Batches))
	give("dropped_total", "Messages of the broker that were no events of the log. Nothing is lost: the log has every event.", float64(stats.Dropped))
	give("latency_seconds", "Time from command to rows of the event that was applied last.", stats.Latency.Seconds())
	give("lag_events", "Events of the log that are not in the rows yet, at most.", float64(stats.LagEvents))
	give("lag_seconds", "How old the oldest event is that is not in the rows yet; while the log cannot be read, at least for how long.", stats.Lag.Seconds())
	give("events_per_second", "Events applied a second, in the last ten seconds.", stats.Rate)
	give("parked_streams", "Streams that wait behind an event that cannot be applied.", float64(stats.Parked))
	var oldest, progress float64
	if !stats.OldestParked.IsZero() {
		oldest = time.Since(stats.OldestParked).Seconds()
	}
	give("oldest_parked_seconds", "For how long the first of them has waited.", oldest)
	if stats.Progress != nil {
		progress = *stats.Progress
	}
	give("operation_running", "1 while a rebuild or a verification is under way.", yes(stats.Progress != nil))
	give("operation_progress", "How much of it is done, 0 to 1.", progress)
	give("pending_events", "Events of the batch that is being applied now.", float64(stats.Pending))
	give("held_up_seconds", "For how long there has been work that does not get on; more than 30 is a fault.", heldUp.Seconds())
	give("failing", "1 while a batch cannot be applied, or the projection has to be rebuilt.", yes(stats.State == Failing || stats.State == RebuildNeeded))
	give("live", "1 once everything that was in the log at the start is applied, while nothing fails.", yes(stats.State == Live))
	give("broker_delivers", "1 while the broker brings events in time; at 0 they come from the log itself.", yes(stats.BrokerDelivers))
	for _, kind := range slices.Sorted(maps.Keys(stats.Unknown)) {
		emit("muster_projection_unknown_events_total", "Events of a type that this program does not know.", float64(stats.Unknown[kind]), "projection", name, "type", kind)
	}
	give("generation", "Generation of the rows that serve.", float64(stats.Generation))
}

// Health is what CheckServices tells of the projection.
func (p *Projector) Health() *statusv1.ProjectionHealth {
	stats := p.Stats()
	health := &statusv1.ProjectionHealth{
		LagEvents:       stats.LagEvents,
		Lag:             durationpb.New(stats.Lag),
		EventsPerSecond: stats.Rate,
		Parked:          stats.Parked,
		Generation:      stats.Generation,
		Progress:        stats.Progress,
	}
	for _, events := range stats.Unknown {
		health.UnknownEvents += events
	}
	if !stats.OldestParked.IsZero() {
		health.OldestParkedAt = timestamppb.New(stats.OldestParked)
	}
	return health
}

func yes(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
