package operations

import (
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore/projection"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func (h *Handler) projectionOf(name string, overview projection.Overview) *musterv1.Projection {
	message := &musterv1.Projection{
		Name:            name,
		Service:         h.service,
		Log:             overview.Log,
		State:           stateOf(overview.State),
		Problem:         problemOf(overview.Stats),
		Generation:      overview.Generation,
		LagEvents:       overview.LagEvents,
		Lag:             durationpb.New(overview.Lag),
		EventsPerSecond: overview.Rate,
		Parked:          overview.Stats.Parked,
		OldestParkedAt:  moment(overview.OldestParked),
	}
	for _, generation := range overview.Generations {
		message.Generations = append(message.Generations, &musterv1.Generation{
			Number:  generation.Number,
			State:   generationStateOf(generation.State),
			BegunAt: moment(generation.BegunAt),
		})
	}
	if overview.Operation != nil {
		message.Operation = operationOf(*overview.Operation)
	}
	for _, name := range slices.Sorted(maps.Keys(overview.Unknown)) {
		message.UnknownTypes = append(message.UnknownTypes, &musterv1.UnknownType{Type: name, Events: overview.Unknown[name]})
	}
	return message
}

// problemOf tells what fails in words of ours: the error behind it, which may
// hold addresses, is in the log.
func problemOf(stats projection.Stats) string {
	switch {
	case stats.LastError == "":
		return ""
	case stats.HeldUp != "":
		return stats.HeldUp
	}
	return "the broker does not deliver" // which holds nothing up: the log itself does
}

func operationOf(operation projection.Operation) *musterv1.Operation {
	message := &musterv1.Operation{
		Kind:            kindOf(operation.Kind),
		Projection:      operation.Projection,
		Generation:      operation.Generation,
		State:           operationStateOf(operation.State),
		StartedAt:       moment(operation.StartedAt),
		StartedBy:       operation.StartedBy,
		FinishedAt:      moment(operation.FinishedAt),
		EventsDone:      operation.EventsDone,
		EventsLeft:      operation.EventsLeft,
		EventsPerSecond: operation.Rate,
		Problem:         operation.Problem,
	}
	if left, known := operation.TimeLeft(); known {
		message.TimeLeft = durationpb.New(left)
	}
	if operation.Verification != nil {
		message.Verification = verificationOf(*operation.Verification)
	}
	return message
}

func verificationOf(verification projection.Verification) *musterv1.Verification {
	message := &musterv1.Verification{Rows: verification.Rows, Differing: verification.Differing}
	for _, difference := range verification.Differences {
		row := &musterv1.Difference{Table: difference.Table, Key: difference.Key, Kind: differenceKindOf(difference.Kind)}
		for _, column := range difference.Columns {
			row.Columns = append(row.Columns, &musterv1.ColumnDifference{
				Column: column.Column, Serving: column.Serving, Rebuilt: column.Rebuilt,
			})
		}
		message.Differences = append(message.Differences, row)
	}
	return message
}

func (h *Handler) parkedOf(name string, parked projection.Parked) *musterv1.ParkedEvent {
	return &musterv1.ParkedEvent{
		Projection: name,
		Service:    h.service,
		Generation: parked.Generation,
		Log:        parked.Log,
		Stream:     parked.Stream,
		Version:    parked.Version,
		EventId:    parked.EventID.String(),
		Type:       parked.Type,
		OccurredAt: moment(parked.OccurredAt),
		ParkedAt:   moment(parked.ParkedAt),
		Waiting:    parked.Waiting,
		Attempts:   int32(min(parked.Attempts, math.MaxInt32)),
		Problem:    parked.Problem,
	}
}

func (h *Handler) skippedOf(name string, skipped projection.Skipped) *musterv1.SkippedEvent {
	return &musterv1.SkippedEvent{
		Projection: name,
		Service:    h.service,
		Log:        skipped.Log,
		Stream:     skipped.Stream,
		Version:    skipped.Version,
		EventId:    skipped.EventID.String(),
		Type:       skipped.Type,
		SkippedAt:  moment(skipped.At),
		SkippedBy:  skipped.By,
		Reason:     skipped.Reason,
	}
}

// stillParked is the event that a retry has stopped at; nil where it has not.
func (h *Handler) stillParked(name string, outcome projection.Outcome) *musterv1.ParkedEvent {
	if outcome.Parked == nil {
		return nil
	}
	return h.parkedOf(name, *outcome.Parked)
}

// moment leaves the zero time out.
func moment(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}

func stateOf(state projection.State) musterv1.ProjectionState {
	switch state {
	case projection.Live:
		return musterv1.ProjectionState_PROJECTION_STATE_LIVE
	case projection.CatchingUp:
		return musterv1.ProjectionState_PROJECTION_STATE_CATCHING_UP
	case projection.Failing:
		return musterv1.ProjectionState_PROJECTION_STATE_FAILING
	case projection.RebuildNeeded:
		return musterv1.ProjectionState_PROJECTION_STATE_REBUILD_NEEDED
	}
	return musterv1.ProjectionState_PROJECTION_STATE_UNSPECIFIED
}

func generationStateOf(state projection.GenerationState) musterv1.GenerationState {
	switch state {
	case projection.Serving:
		return musterv1.GenerationState_GENERATION_STATE_SERVING
	case projection.Building:
		return musterv1.GenerationState_GENERATION_STATE_BUILDING
	case projection.Verifying:
		return musterv1.GenerationState_GENERATION_STATE_VERIFYING
	case projection.Former:
		return musterv1.GenerationState_GENERATION_STATE_FORMER
	case projection.Dropping:
		return musterv1.GenerationState_GENERATION_STATE_DROPPING
	}
	return musterv1.GenerationState_GENERATION_STATE_UNSPECIFIED
}

func kindOf(kind projection.OperationKind) musterv1.OperationKind {
	switch kind {
	case projection.Rebuild:
		return musterv1.OperationKind_OPERATION_KIND_REBUILD
	case projection.Verify:
		return musterv1.OperationKind_OPERATION_KIND_VERIFY
	}
	return musterv1.OperationKind_OPERATION_KIND_UNSPECIFIED
}

func operationStateOf(state projection.OperationState) musterv1.OperationState {
	switch state {
	case projection.Running:
		return musterv1.OperationState_OPERATION_STATE_RUNNING
	case projection.Done:
		return musterv1.OperationState_OPERATION_STATE_DONE
	case projection.Failed:
		return musterv1.OperationState_OPERATION_STATE_FAILED
	case projection.Cancelled:
		return musterv1.OperationState_OPERATION_STATE_CANCELLED
	}
	return musterv1.OperationState_OPERATION_STATE_UNSPECIFIED
}

func differenceKindOf(kind projection.DifferenceKind) musterv1.DifferenceKind {
	switch kind {
	case projection.Surplus:
		return musterv1.DifferenceKind_DIFFERENCE_KIND_SURPLUS
	case projection.Missing:
		return musterv1.DifferenceKind_DIFFERENCE_KIND_MISSING
	case projection.Changed:
		return musterv1.DifferenceKind_DIFFERENCE_KIND_CHANGED
	}
	return musterv1.DifferenceKind_DIFFERENCE_KIND_UNSPECIFIED
}
