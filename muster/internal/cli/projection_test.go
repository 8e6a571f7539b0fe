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
	got.is(t, 0, "has begun", "; trying again", "it answers again", "generation 2 serves", "generation 1 is kept", "muster projection rollback access", "muster projection drop access")
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

// A crash of PostgreSQL makes it begin with the first event again.
func TestARebuildThatStartsOverIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(8, 1, 1), operatortest.StartsOver, operatortest.Serves)
	run(w, "projection", "rebuild", "access").is(t, 0, "the rebuild of access starts over, into generation 3", "generation 3 serves", "generation 1 is kept")
	w = operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(8, 1, 1), operatortest.StartsOver, operatortest.Serves)
	got := run(w, "projection", "rebuild", "access", "--json")
	got.is(t, 0)
	var last struct{ State, Generation string }
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.State != "OPERATION_STATE_DONE" || last.Generation != "3" {
		t.Errorf("the last object is %s, %v", lines[len(lines)-1], err)
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
	for _, command := range [][]string{{"projection", "list"}, {"projection", "list", "access"}, {"projection", "drop", "access"}, {"parked", "list"}, {"parked", "list", "--skipped"}} {
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
	run(w, "projection", "list", "access").is(t, 0, "access") // it is not theirs
	run(w, "projection", "list", "users").is(t, 1, "muster: identity: ", "they have access, files")
	run(w, "parked", "list").is(t, 1, "no event is parked", "muster: identity: ")
	run(w, "parked", "list", "--skipped").is(t, 1, "no event was left out", "muster: identity: ")
}

func TestWhatCannotBeDoneIsToldWithWhatCan(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	run(w, "projection", "rebuild", "acces").is(t, 1, `"acces"`, "access, avatars, files, users")
	run(w, "projection", "list", "acces").is(t, 1, `"acces"`, "access, avatars, files, users")
	run(w, "parked", "list", "acces", "--skipped").is(t, 1, `"acces"`, "access, avatars, files, users")
	run(w, "projection", "rollback", "access").is(t, 1, "There are no former rows", "Only a rebuild")
	run(w, "projection", "rebuild", "access", "--detach").is(t, 0)
	run(w, "projection", "verify", "access").is(t, 1, "`muster projection cancel NAME` gives it up")
}

func TestOneProjectionIsListedAlone(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	got := run(w, "projection", "list", "access")
	got.is(t, 0, "access")
	if strings.Contains(got.out, "users") {
		t.Errorf("it shows others:\n%s", got.out)
	}
}

// So that nobody deletes another generation than the one that was looked at.
func TestTheGenerationThatIsMeantIsNamed(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Serves)
	run(w, "projection", "rebuild", "access").is(t, 0)
	run(w, "projection", "rollback", "access", "--generation", "2").is(t, 1, "There are no former rows")
	run(w, "projection", "rollback", "access", "--generation", "1").is(t, 0, "generation 1 serves again")
	run(w, "projection", "drop", "access", "--generation", "1").is(t, 1, "There are no former rows")
	run(w, "projection", "drop", "access", "--generation", "0").is(t, 2, "begin with 1")
	run(w, "projection", "drop", "access", "--generation", "2").is(t, 0, "generation 2 is being deleted")
}

// Nothing is called for it: no service is there.
func TestAWrongCommandLineIsToldByItsStatus(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"projection rebuild":     "<name>",
		"parked retry":           "--all",
		"parked retry a b c":     "name the stream",
		"parked retry --all a b": "--all goes with a projection or with nothing",
		"parked show":            "<stream>",
		"parked show a b c":      "name the stream",
		"parked skip a b c --version 1 --reason because":                             "name the stream",
		"parked skip access user-1 --reason because":                                 "--version",
		"parked skip access user-1 --version 0 --reason because":                     "--version",
		"parked skip access user-1 --version 3":                                      "--reason",
		"parked skip access user-1 --version 3 --reason no":                          "3 to 500 characters",
		"parked skip access user-1 --version 3 --reason " + strings.Repeat("ü", 501): "3 to 500 characters",
		"projection list --identity https://identity:8081":                           "--certificates",
		"parked show user-1 --identity https://identity:8081":                        "--certificates",
		"parked retry user-1 --identity https://identity:8081":                       "--certificates",
		"parked retry --all --identity https://identity:8081":                        "--certificates",
		"parked skip user-1 --version 3 --reason because --identity https://i:8081":  "--certificates",
	} {
		var out, errOut strings.Builder
		status := Main(strings.Fields(line), &out, &errOut)
		ran{status, out.String(), errOut.String()}.is(t, 2, want)
	}
}

func TestACommandGroupAloneShowsItsCommands(t *testing.T) {
	t.Parallel()
	for group, want := range map[string]string{"projection": "projection rollback", "parked": "parked skip"} {
		var out, errOut strings.Builder
		status := Main([]string{group}, &out, &errOut)
		ran{status, out.String(), errOut.String()}.is(t, 2, want)
		if out.Len() > 0 {
			t.Errorf("%s: a program that reads what comes out gets help: %q", group, out.String())
		}
	}
}

func TestWhereNothingRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errOut strings.Builder
	status := Main([]string{"projection", "list", "--data", dir}, &out, &errOut)
	ran{status, out.String(), errOut.String()}.is(t, 1, dir, "nothing runs there", "muster up")
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
}

func TestASkipNamesTheVersionAndTheReason(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	parkedIn(w, "user-1", nil)
	run(w, "parked", "skip", "access", "user-1", "--version", "4", "--reason", "ticket 4711").is(t, 1, "parked is version 3", "`muster parked list`")
	run(w, "parked", "skip", "access", "user-1", "--version", "3", "--reason", "ticket 4711").is(t, 0, "version 3 is left out, 1 event behind it applied")
	skipped := w.Services["credentials"].Skipped()
	if len(skipped) != 1 || skipped[0].GetReason() != "ticket 4711" || skipped[0].GetVersion() != 3 {
		t.Errorf("skipped %v", skipped)
	}
	run(w, "parked", "list").is(t, 0, "no event is parked")
	run(w, "parked", "list", "--skipped", "access").is(t, 0, "user-1", "RolesChanged", "service-operator", "ticket 4711")
	run(w, "parked", "list", "--skipped", "users").is(t, 0, "no event was left out")
	run(w, "parked", "list", "--skipped", "--json").is(t, 0, `"skippedBy":"service-operator"`)
}
