package cli

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/muster/internal/operator/operatortest"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ran is what a command line has said.
type ran struct {
	status      int
	out, errOut string
}

// run runs a command line on the services of a world.
func run(w *operatortest.World, arguments ...string) ran {
	var out, errOut strings.Builder
	status := Main(append(arguments, "--certificates", w.Places.Certificates, "--identity", w.Places.URLs["identity"],
		"--credentials", w.Places.URLs["credentials"], "--media", w.Places.URLs["media"]), &out, &errOut)
	return ran{status, out.String(), errOut.String()}
}

// is fails the test unless the status is this one and all texts were said.
func (r ran) is(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d", r.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.errOut, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if t.Failed() {
		t.Logf("out:\n%serr:\n%s", r.out, r.errOut)
	}
}

// Ctrl-C while somebody waits gives the operation up, and says so once nothing
// of it is left. Not beside others: the signal is the whole process's.
func TestCtrlCGivesTheOperationUp(t *testing.T) {
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(1, 9, 1), func(*musterv1.Projection) error {
		return syscall.Kill(syscall.Getpid(), syscall.SIGINT)
	})
	run(w, "projection", "rebuild", "access").is(t, 130, "giving it up", "the rebuild of access into generation 2 was given up; generation 1 serves on")
	if left := w.Services["credentials"].Generations("access"); left != 1 {
		t.Errorf("%d generations are left", left)
	}
}

func TestARebuildIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(1, 9, 1), operatortest.Away, operatortest.Serves)
	got := run(w, "projection", "rebuild", "access")
	got.is(t, 0, "has begun", "trying again", "it answers again", "generation 2 serves", "generation 1 is kept", "muster projection rollback access", "muster projection drop access")
	if strings.Contains(got.out, "has begun") {
		t.Error("what comes out at the end cannot be piped: the way is in it")
	}
}

func TestARebuildThatFailsIsAFailure(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Fails("the log is away"))
	run(w, "projection", "rebuild", "access").is(t, 1, "has failed: the log is away", "generation 1 serves on")
}

// Somebody else has given it up: what was asked for was not done.
func TestARebuildThatIsCancelledIsAFailure(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(func(p *musterv1.Projection) error {
		p.Operation.State = musterv1.OperationState_OPERATION_STATE_CANCELLED
		return nil
	})
	run(w, "projection", "rebuild", "access").is(t, 1, "was given up")
}

func TestAVerificationThatFindsSomethingIsAFailure(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Finds(&musterv1.Verification{Rows: 10, Differing: 1, Differences: []*musterv1.Difference{
		{Table: "read.access", Key: "user_id=0199", Columns: []*musterv1.ColumnDifference{{Column: "active", Serving: "true", Rebuilt: "false"}}},
	}}))
	run(w, "projection", "verify", "access").is(t, 1, "read.access user_id=0199: differs", "active: true serves", "1 of 10 rows differs")
	w = operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Finds(&musterv1.Verification{Rows: 10}))
	run(w, "projection", "verify", "access").is(t, 0, "no row differs: 10 rows")
}

func TestASecondOperationIsRefusedWithTheFirst(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	run(w, "projection", "rebuild", "access", "--detach").is(t, 0, "has begun", "muster projection list")
	run(w, "projection", "verify", "access").is(t, 1, "the rebuild of access into generation 2 is under way")
}

func TestCancelWaitsUntilItIsGone(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	run(w, "projection", "cancel", "access").is(t, 1, "No operation is under way")
	run(w, "projection", "rebuild", "access", "--detach").is(t, 0)
	run(w, "projection", "cancel", "access").is(t, 0, "was given up; generation 1 serves on")
	if left := w.Services["credentials"].Generations("access"); left != 1 {
		t.Errorf("%d generations are left", left)
	}
}

// A script reads one object a line, and the outcome last.
func TestJSONIsOneObjectALine(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(1, 9, 1), operatortest.Serves)
	got := run(w, "projection", "rebuild", "access", "--json")
	got.is(t, 0)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	var states []string
	for _, line := range lines {
		var operation struct{ State string }
		if err := json.Unmarshal([]byte(line), &operation); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		states = append(states, operation.State)
	}
	if len(states) < 2 || states[0] != "OPERATION_STATE_RUNNING" || states[len(states)-1] != "OPERATION_STATE_DONE" || got.errOut != "" {
		t.Errorf("states %v, beside them %q", states, got.errOut)
	}
	for _, command := range [][]string{{"projection", "list"}, {"projection", "drop", "access"}, {"parked", "list"}} {
		got := run(w, append(command, "--json")...)
		got.is(t, 0)
		if !json.Valid([]byte(got.out)) || strings.Count(got.out, "\n") != 1 {
			t.Errorf("%v: %q", command, got.out)
		}
	}
}

func TestListShowsTheOthersWhereOneServiceIsAway(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["identity"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	run(w, "projection", "list").is(t, 1, "access", "files", "muster: identity: ")
	run(w, "parked", "list").is(t, 1, "no event is parked", "muster: identity: ")
}

func TestWhatCannotBeDoneIsToldWithWhatCan(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	run(w, "projection", "rebuild", "acces").is(t, 1, `"acces"`, "access, avatars, files, users")
	run(w, "projection", "rollback", "access").is(t, 1, "There are no former rows", "Only a rebuild")
	run(w, "projection", "drop", "access").is(t, 0, "generation 1 is being deleted")
	run(w, "projection", "rebuild").is(t, 2)
}

func TestWhereNothingRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errOut strings.Builder
	status := Main([]string{"projection", "list", "--data", dir}, &out, &errOut)
	ran{status, out.String(), errOut.String()}.is(t, 1, dir, "nothing runs there", "muster up")
}

func TestAddressesGoTogether(t *testing.T) {
	t.Parallel()
	var out, errOut strings.Builder
	status := Main([]string{"projection", "list", "--identity", "https://identity:8081"}, &out, &errOut)
	ran{status, out.String(), errOut.String()}.is(t, 1, "--certificates")
}

// A container has them in its environment.
func TestAddressesFromTheEnvironment(t *testing.T) {
	w := operatortest.Start(t)
	t.Setenv("MUSTER_OPERATOR_CERTIFICATES", w.Places.Certificates)
	for _, service := range []string{"identity", "credentials", "media"} {
		t.Setenv("MUSTER_OPERATOR_"+strings.ToUpper(service)+"_URL", w.Places.URLs[service])
	}
	var out, errOut strings.Builder
	status := Main([]string{"projection", "list"}, &out, &errOut)
	ran{status, out.String(), errOut.String()}.is(t, 0, "access", "users")
}

// parkedIn parks a stream of two events in access.
func parkedIn(w *operatortest.World, stream string, retried *musterv1.RetryParkedEventResponse) {
	event := poison()
	event.Event.Stream = stream
	w.Services["credentials"].Park(event, retried)
}

func TestParkedEventsAreShownAndRetried(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	parkedIn(w, "user-good", nil)
	parkedIn(w, "user-bad", &musterv1.RetryParkedEventResponse{Applied: 1, Parked: &musterv1.ParkedEvent{Version: 4, Problem: "no such role"}})
	run(w, "parked", "list", "access").is(t, 0, "user-good", "user-bad")
	run(w, "parked", "list", "users").is(t, 0, "no event is parked")
	run(w, "parked", "show", "access", "user-good").is(t, 0, `"roles": [`)
	run(w, "parked", "show", "user-good").is(t, 0, `"roles": [`)
	run(w, "parked", "show", "user-none").is(t, 1, "no event of this stream is parked")
	run(w, "parked", "retry", "access", "user-bad").is(t, 1, "1 event applied", "version 4 could not be applied", "no such role")
	run(w, "parked", "retry", "--all").is(t, 1, "access user-good: 2 events applied", "version 4", "2 streams tried, 1 parked still")
	run(w, "parked", "list").is(t, 0, "user-bad")
	run(w, "parked", "retry").is(t, 1, "name the stream")
	run(w, "parked", "show", "a", "b", "c").is(t, 1, "name the stream")
}

func TestASkipNamesTheVersionAndTheReason(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	parkedIn(w, "user-1", nil)
	run(w, "parked", "skip", "access", "user-1", "--version", "3").is(t, 2, "--reason")
	run(w, "parked", "skip", "access", "user-1", "--reason", "ticket 4711").is(t, 2, "--version")
	run(w, "parked", "skip", "access", "user-1", "--version", "4", "--reason", "ticket 4711").is(t, 1)
	run(w, "parked", "skip", "access", "user-1", "--version", "3", "--reason", "ticket 4711").is(t, 0, "version 3 is left out, 1 event behind it applied")
	skipped := w.Services["credentials"].Skipped()
	if len(skipped) != 1 || skipped[0].GetReason() != "ticket 4711" || skipped[0].GetVersion() != 3 {
		t.Errorf("skipped %v", skipped)
	}
}
