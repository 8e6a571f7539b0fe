package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/muster/internal/operator"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// view shows somebody how far an operation is.
type view interface {
	operator.Watcher
	// begin comes first, end last.
	begin(*musterv1.Operation)
	end()
	// say tells something on a line of its own.
	say(format string, arguments ...any)
}

// newView is what fits where we write to. The way goes to the standard error,
// so that what comes out at the end can be piped; in JSON it goes there too.
func newView(streams streams, json bool) view {
	told := lines{out: streams.err, now: time.Now}
	if json {
		return &jsonView{lines: told, to: streams.out}
	}
	if file, is := streams.err.(*os.File); is && term.IsTerminal(int(file.Fd())) {
		return &barView{lines: told, width: func() int {
			width, _, _ := term.GetSize(int(file.Fd())) // 0 where it is not known
			return width
		}}
	}
	return &plainView{lines: told}
}

// lines tells what is the same in all views.
type lines struct {
	out io.Writer
	now func() time.Time
}

func (l lines) say(format string, arguments ...any) { say(l.out, format, arguments...) }

// Away tells that a service does not answer, and Back that it does again.
func (l lines) Away(err error) {
	l.say("%s; trying again for a minute", strings.TrimSuffix(err.Error(), "."))
}
func (l lines) Back() { l.say("it answers again") }

func (l lines) begin(begun *musterv1.Operation) {
	l.say("%s has begun. What serves goes on serving; Ctrl-C gives it up", title(begun))
}
func (lines) end() {}

// Again tells that what is read and left is counted anew.
func (l lines) Again(operation *musterv1.Operation) {
	l.say("the %s starts over, into generation %d", kindOf(operation), operation.GetGeneration())
}

// plainEvery is how often plain lines tell how far it is.
const plainEvery = 5 * time.Second

// plainView writes lines, for files and pipes.
type plainView struct {
	lines
	last time.Time
}

// Progress tells every few seconds.
func (v *plainView) Progress(operation *musterv1.Operation) {
	if !running(operation) {
		return // the outcome follows
	}
	now := v.now()
	if now.Sub(v.last) < plainEvery || operation.GetEventsDone()+operation.GetEventsLeft() == 0 {
		return
	}
	v.last = now
	v.say("%s: %s", kindOf(operation), strings.TrimSpace(strings.Join(figures(operation, " of about ", " events"), ", ")))
}

// barView redraws one line of a terminal.
type barView struct {
	lines
	width func() int
	drawn bool
}

// The widths of a bar: one that is shorter says nothing, and is left out.
const (
	barLongest  = 40
	barShortest = 10
	// unknownWidth is that of a terminal that does not tell.
	unknownWidth = 80
)

const clearLine = "\r\x1b[K"

// Progress draws.
func (v *barView) Progress(operation *musterv1.Operation) {
	if !running(operation) {
		return
	}
	width := v.width()
	if width <= 0 {
		width = unknownWidth
	}
	_, _ = fmt.Fprint(v.out, clearLine+barLine(operation, width-1)) // the last column would wrap
	v.drawn = true
}

// barLine is a line of at most that many columns.
func barLine(operation *musterv1.Operation, width int) string {
	// Words are left out, so that a bar fits into the usual 80 columns.
	before := strings.Replace(kindOf(operation), " of ", " ", 1) + " "
	after := "  " + strings.Join(figures(operation, "/~", ""), "  ")
	bar := ""
	if room := min(barLongest, width-len(before)-len(after)-len("[]")); room >= barShortest {
		full := room * percent(operation) / 100
		bar = "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
	}
	line := before + bar + after
	return line[:min(len(line), max(width, 0))]
}

func (v *barView) wipe() {
	if v.drawn {
		_, _ = fmt.Fprint(v.out, clearLine)
		v.drawn = false
	}
}

// Away and all other lines stand above the bar.
func (v *barView) Away(err error)                      { v.wipe(); v.lines.Away(err) }
func (v *barView) Back()                               { v.wipe(); v.lines.Back() }
func (v *barView) Again(operation *musterv1.Operation) { v.wipe(); v.lines.Again(operation) }
func (v *barView) say(format string, values ...any)    { v.wipe(); v.lines.say(format, values...) }
func (v *barView) end()                                { v.wipe() }

// jsonEvery is how often a changed operation is written.
const jsonEvery = time.Second

// jsonView writes the operation as one object a line, for programs.
type jsonView struct {
	lines
	to      io.Writer
	written *musterv1.Operation
	last    time.Time
}

func (v *jsonView) begin(begun *musterv1.Operation) { v.Progress(begun) }

// Progress writes what has changed, but not more often than once a second. The
// end is written as the outcome.
func (v *jsonView) Progress(operation *musterv1.Operation) {
	now := v.now()
	if !running(operation) || now.Sub(v.last) < jsonEvery || proto.Equal(operation, v.written) {
		return
	}
	v.last, v.written = now, operation
	_ = writeJSON(v.to, operation) // as with say: a reader that is gone stops nothing
}

// running tells whether it is under way.
func running(operation *musterv1.Operation) bool {
	return operation.GetState() == musterv1.OperationState_OPERATION_STATE_RUNNING
}

// percent of the events that are read, rounded down. There are 100 only at the end:
// what is left is an estimate, and the rest of the work comes after the last event.
func percent(operation *musterv1.Operation) int {
	done, left := operation.GetEventsDone(), operation.GetEventsLeft()
	switch {
	case operation.GetState() == musterv1.OperationState_OPERATION_STATE_DONE:
		return 100
	case done <= 0:
		return 0
	}
	return int(min(99, 100*float64(done)/float64(done+max(left, 0))))
}

// figures tell how far an operation is, the most important first: "1 of about 2
// events" with that text between the numbers, and that one behind them.
func figures(operation *musterv1.Operation, between, behind string) []string {
	done, left := operation.GetEventsDone(), max(0, operation.GetEventsLeft())
	all := []string{fmt.Sprintf("%3d%%", percent(operation))}
	if done+left > 0 { // else nobody has looked yet
		all = append(all, count(done)+between+count(done+left)+behind)
	}
	if rate := operation.GetEventsPerSecond(); rate >= 1 {
		all = append(all, count(int64(rate))+behind+"/s")
	}
	if operation.GetTimeLeft() != nil {
		all = append(all, span(max(operation.GetTimeLeft().AsDuration(), time.Second))+" left")
	}
	return all
}

// title names an operation: "rebuild of access into generation 2".
func title(operation *musterv1.Operation) string {
	return fmt.Sprintf("%s into generation %d", kindOf(operation), operation.GetGeneration())
}

// kindOf names it shortly: "rebuild of access".
func kindOf(operation *musterv1.Operation) string {
	return kind(operation) + " of " + clean(operation.GetProjection())
}

// kind is "rebuild" or "verification".
func kind(operation *musterv1.Operation) string {
	if operation.GetKind() == musterv1.OperationKind_OPERATION_KIND_VERIFY {
		return "verification"
	}
	return word(operation.GetKind().String(), "OPERATION_KIND_")
}

// span is a time as people tell it: whole seconds, then whole minutes.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Hour:
		return d.String()
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// count writes a number with commas: 1,234,567.
func count(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
