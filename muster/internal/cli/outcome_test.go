package cli

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// rebuilt is a projection after a rebuild.
func rebuilt() *musterv1.Projection {
	return &musterv1.Projection{
		Name: "access", Service: "credentials", State: musterv1.ProjectionState_PROJECTION_STATE_LIVE, Generation: 2,
		Generations: []*musterv1.Generation{
			{Number: 1, State: musterv1.GenerationState_GENERATION_STATE_FORMER},
			{Number: 2, State: musterv1.GenerationState_GENERATION_STATE_SERVING},
		},
		Operation: ended(musterv1.OperationState_OPERATION_STATE_DONE),
	}
}

func verified(found *musterv1.Verification) *musterv1.Projection {
	seen := rebuilt()
	seen.Operation.Kind, seen.Operation.Verification = musterv1.OperationKind_OPERATION_KIND_VERIFY, found
	return seen
}

func TestARebuildSaysHowToGoBack(t *testing.T) {
	t.Parallel()
	expect(t, outcome(rebuilt(), " --data elsewhere"), `rebuilt access: generation 2 serves, from 2,400,000 events in 2m0s
generation 1 is kept, and kept up to date
  to go back to it:  muster projection rollback access --data elsewhere
  to delete it:      muster projection drop access --data elsewhere
`)
}

func TestAVerificationShowsEachRowAndColumnThatDiffers(t *testing.T) {
	t.Parallel()
	expect(t, outcome(verified(&musterv1.Verification{Rows: 12_345, Differing: 1002, Differences: []*musterv1.Difference{
		{Table: "read.access", Key: "user_id=0199", Kind: musterv1.DifferenceKind_DIFFERENCE_KIND_CHANGED, Columns: []*musterv1.ColumnDifference{
			{Column: "active", Serving: "true", Rebuilt: "false"}, {Column: "verifier", Serving: "[redacted]", Rebuilt: "[redacted]"},
		}},
		{Table: "read.access", Key: "user_id=019a", Kind: musterv1.DifferenceKind_DIFFERENCE_KIND_SURPLUS},
		{Table: "read.logins", Key: "name=\x1b[2Jbob", Kind: musterv1.DifferenceKind_DIFFERENCE_KIND_MISSING},
	}}), ""), `read.access user_id=0199: differs
  active: true serves, the events make false
  verifier: [redacted] serves, the events make [redacted]
read.access user_id=019a: serves, but the events make no such row
read.logins name=?[2Jbob: is missing; the events make it
… and 999 more
1,002 of 12,345 rows differ, from 2,400,000 events in 2m0s
to mend that: muster projection rebuild access
`)
	expect(t, outcome(verified(&musterv1.Verification{Rows: 1}), ""), "no row differs: 1 row of access compared, from 2,400,000 events in 2m0s\n")
}

func TestAShortTimeIsNotRoundedUp(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]string{
		0: "0.1s", 320 * time.Millisecond: "0.3s", 1460 * time.Millisecond: "1.5s", 4 * time.Second: "4s", 9999 * time.Millisecond: "10s",
		12400 * time.Millisecond: "12s", 131 * time.Second: "2m11s",
	} {
		expect(t, brief(took), want)
	}
}

func TestWhatWentWrongIsTold(t *testing.T) {
	t.Parallel()
	seen := rebuilt()
	seen.Generation = 1
	seen.Operation.State, seen.Operation.Problem = musterv1.OperationState_OPERATION_STATE_FAILED, "the log is\nof another epoch"
	expect(t, outcome(seen, ""), "the rebuild of access into generation 2 has failed: the log is?of another epoch\ngeneration 1 serves on\n")
	seen.Operation.State = musterv1.OperationState_OPERATION_STATE_CANCELLED
	expect(t, outcome(seen, ""), "the rebuild of access into generation 2 was given up; generation 1 serves on\n")
}

func TestProjectionsAreATable(t *testing.T) {
	t.Parallel()
	building := rebuilt()
	building.Name, building.Generation, building.Operation = "users", 1, halfway()
	building.Generations = building.Generations[1:]
	building.UnknownTypes = []*musterv1.UnknownType{{Type: "muster.identity.events.v1.NicknameChosen", Events: 12}}
	failing := &musterv1.Projection{
		Name: "files", Service: "media", State: musterv1.ProjectionState_PROJECTION_STATE_FAILING, Problem: "the log is away", Generation: 1,
		LagEvents: 1500, Lag: durationpb.New(95 * time.Second), EventsPerSecond: 41.5, Parked: 2, OldestParkedAt: timestamppb.New(noon().Add(-26 * time.Hour)),
	}
	found := verified(&musterv1.Verification{Differing: 3})
	found.Name = "avatars"
	var out strings.Builder
	if err := writeProjections(&out, []*musterv1.Projection{rebuilt(), found, failing, building}, noon().Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), `NAME     SERVICE      STATE    GENERATION  LAG           PARKED     RATE    OPERATION
access   credentials  live     2 (1 kept)  0             0          0.0/s   rebuild done 5m0s ago
avatars  credentials  live     2 (1 kept)  0             0          0.0/s   verification: 3 rows differed 5m0s ago
files    media        failing  1           1,500, 1m35s  2, 26h05m  41.5/s  -
users    credentials  live     1           0             0          0.0/s   rebuild into 2, 51%, 1m4s left
files: the log is away
users: 12 events of 1 unknown type: muster.identity.events.v1.NicknameChosen; a newer version has written them; rebuild after upgrading if the projection needs them
`)
}

// poison is a parked event.
func poison() *musterv1.GetParkedEventResponse {
	return &musterv1.GetParkedEventResponse{
		Event: &musterv1.ParkedEvent{
			Projection: "access", Service: "credentials", Generation: 1, Log: "identity", Stream: "user-0199", Version: 3,
			EventId: "019a", Type: "muster.identity.events.v1.RolesChanged", OccurredAt: timestamppb.New(noon().Add(-time.Hour)),
			ParkedAt: timestamppb.New(noon().Add(-time.Minute)), Waiting: 2, Attempts: 4, Problem: "open event: key is not in the keyring",
		},
		Payload: `{"userId":"0199","roles":["auditor"]}`, Sealed: true,
	}
}

func TestParkedEventsAreATable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := writeParked(&out, []*musterv1.ParkedEvent{poison().GetEvent()}, noon()); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), `PROJECTION  STREAM     VERSION  TYPE          GENERATION  WAITING  SINCE  PROBLEM
access      user-0199  3        RolesChanged  1           2        1m0s   open event: key is not in the keyring
`)
}

// What a command takes can be copied from it.
func TestNumbersThatACommandTakesHaveNoCommas(t *testing.T) {
	t.Parallel()
	event := poison().GetEvent()
	event.Version, event.Generation = 1234, 5678
	var out strings.Builder
	if err := writeParked(&out, []*musterv1.ParkedEvent{event}, noon()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " 1234 ") || !strings.Contains(out.String(), " 5678 ") {
		t.Error(out.String())
	}
}

func TestSkippedEventsAreATable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := writeSkipped(&out, []*musterv1.SkippedEvent{{
		Projection: "access", Service: "credentials", Log: "identity", Stream: "user-0199", Version: 1234, Type: "muster.identity.events.v1.RolesChanged",
		SkippedAt: timestamppb.New(noon()), SkippedBy: "user-0198", Reason: "ticket\n4711",
	}}); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), `PROJECTION  STREAM     VERSION  TYPE          SKIPPED               BY         REASON
access      user-0199  1234     RolesChanged  2026-03-02T12:00:00Z  user-0198  ticket?4711
`)
}

func TestAParkedEventIsShownAsFarAsItIsNotSealed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := writeParkedEvent(&out, poison(), noon()); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), `projection  access of credentials, generation 1
stream      user-0199 of log identity
version     3
event       019a
type        muster.identity.events.v1.RolesChanged
occurred    2026-03-02T11:00:00Z
parked      2026-03-02T11:59:00Z, 1m0s ago
waiting     2 events, this one included
attempts    4
problem     open event: key is not in the keyring

{
  "userId": "0199",
  "roles": [
    "auditor"
  ]
}
A part of it is personal, and sealed: it is shown to nobody.
`)
}
