package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// noon is the time in these tests.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// halfway is a rebuild under way.
func halfway() *musterv1.Operation {
	return &musterv1.Operation{
		Kind: musterv1.OperationKind_OPERATION_KIND_REBUILD, Projection: "access", Generation: 2,
		State: musterv1.OperationState_OPERATION_STATE_RUNNING, StartedAt: timestamppb.New(noon().Add(-2 * time.Minute)),
		EventsDone: 1_234_567, EventsLeft: 1_165_433, EventsPerSecond: 18_300.4, TimeLeft: durationpb.New(64 * time.Second),
	}
}

// ended is the same rebuild, two minutes later.
func ended(state musterv1.OperationState) *musterv1.Operation {
	operation := halfway()
	operation.State, operation.FinishedAt, operation.TimeLeft = state, timestamppb.New(noon()), nil
	operation.EventsDone, operation.EventsLeft = 2_400_000, 0
	return operation
}

// clock gives one time after the other.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func TestPlainLinesEveryFewSecondsAndAtEachChange(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	at := &clock{noon()}
	view := &plainView{lines: lines{out: &out, now: at.read}}
	view.begin(halfway())
	view.Progress(&musterv1.Operation{State: musterv1.OperationState_OPERATION_STATE_RUNNING}) // nothing is known yet
	for range 24 {                                                                             // six seconds
		view.Progress(halfway())
		at.now = at.now.Add(250 * time.Millisecond)
	}
	view.Away(errors.New("credentials does not answer"))
	view.Back()
	view.Progress(ended(musterv1.OperationState_OPERATION_STATE_DONE))
	view.end()
	expect(t, out.String(), `rebuild of access into generation 2 has begun. What serves goes on serving; Ctrl-C gives it up
rebuild of access: 51%, 1,234,567 of about 2,400,000 events, 18,300 events/s, 1m4s left
rebuild of access: 51%, 1,234,567 of about 2,400,000 events, 18,300 events/s, 1m4s left
credentials does not answer; trying again for a minute
it answers again
`)
}

func TestABarIsOneLineThatIsRedrawnAndGoneAtTheEnd(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	view := &barView{lines: lines{out: &out, now: noon}, width: func() int { return 120 }}
	view.Progress(halfway())
	view.Progress(halfway())
	view.Away(errors.New("credentials does not answer"))
	view.Progress(halfway())
	view.end()
	const wipe = "\r\x1b[K"
	bar := wipe + "rebuild access [====================                    ]   51%  1,234,567/~2,400,000  18,300/s  1m4s left"
	expect(t, out.String(), bar+bar+wipe+"credentials does not answer; trying again for a minute\n"+bar+wipe)
}

// An operation that starts over counts from the beginning again.
func TestABarGoesBack(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	view := &barView{lines: lines{out: &out, now: noon}, width: func() int { return 80 }}
	again := halfway()
	again.Generation, again.EventsDone, again.EventsLeft, again.EventsPerSecond, again.TimeLeft = 3, 100_000, 900_000, 0, nil
	view.Progress(halfway())
	view.Again(again)
	view.Progress(again)
	_, shown, _ := strings.Cut(out.String(), "left")
	const wipe = "\r\x1b[K"
	expect(t, shown, wipe+"the rebuild of access starts over, into generation 3\n"+wipe+"rebuild access [===                                 ]   10%  100,000/~1,000,000")
}

// A line that wraps could not be redrawn.
func TestABarFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		79: "rebuild access [======       ]   51%  1,234,567/~2,400,000  18,300/s  1m4s left",
		70: "rebuild access    51%  1,234,567/~2,400,000  18,300/s  1m4s left",
		20: "rebuild access    51",
		0:  "",
	} {
		expect(t, barLine(halfway(), width), want)
	}
}

func TestJSONLinesAreWhatHasChanged(t *testing.T) {
	t.Parallel()
	var out, told strings.Builder
	at := &clock{noon()}
	view := &jsonView{lines: lines{out: &told, now: at.read}, to: &out}
	view.begin(halfway())
	for second := range 4 {
		at.now = at.now.Add(time.Second)
		now := halfway()
		if second == 2 {
			now.EventsDone, now.EventsLeft = 2_000_000, 400_000
		}
		view.Progress(now)
		view.Progress(ended(musterv1.OperationState_OPERATION_STATE_DONE)) // is the outcome's
		if second == 2 {
			break
		}
	}
	view.Away(errors.New("credentials does not answer"))
	expect(t, out.String(), `{"kind":"OPERATION_KIND_REBUILD","projection":"access","generation":"2","state":"OPERATION_STATE_RUNNING","startedAt":"2026-03-02T11:58:00Z","startedBy":"","eventsDone":"1234567","eventsLeft":"1165433","eventsPerSecond":18300.4,"timeLeft":"64s","problem":""}
{"kind":"OPERATION_KIND_REBUILD","projection":"access","generation":"2","state":"OPERATION_STATE_RUNNING","startedAt":"2026-03-02T11:58:00Z","startedBy":"","eventsDone":"2000000","eventsLeft":"400000","eventsPerSecond":18300.4,"timeLeft":"64s","problem":""}
`)
	expect(t, told.String(), "credentials does not answer; trying again for a minute\n")
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		done, left int64
		want       int
	}{
		{0, 0, 0}, {0, 10, 0}, {1, 2, 33}, {10, 0, 99}, {999, 1, 99}, {10, -5, 99},
	} {
		operation := halfway()
		operation.EventsDone, operation.EventsLeft = test.done, test.left
		if got := percent(operation); got != test.want {
			t.Errorf("%d read, %d left: %d%%, want %d%%", test.done, test.left, got, test.want)
		}
	}
}

func TestSpansAndCountsAreReadable(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		1400 * time.Millisecond: "1s", 64 * time.Second: "1m4s", 2*time.Hour + 5*time.Minute + 20*time.Second: "2h05m", 73 * time.Hour: "3d",
	} {
		expect(t, span(d), want)
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		expect(t, count(n), want)
	}
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
