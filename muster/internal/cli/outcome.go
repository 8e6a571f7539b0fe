package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// writeOutcome tells what has become of an operation.
func writeOutcome(streams streams, on named, seen *musterv1.Projection) error {
	ended := seen.GetOperation()
	if on.JSON {
		return writeJSON(streams.out, ended)
	}
	_, err := io.WriteString(streams.out, outcome(seen, on.again()))
	return err
}

// outcome is the same in words; again is what the commands in it end with.
func outcome(seen *musterv1.Projection, again string) string {
	ended := seen.GetOperation()
	name := clean(ended.GetProjection())
	var text strings.Builder
	line := func(format string, arguments ...any) { _, _ = fmt.Fprintf(&text, format+"\n", arguments...) }
	switch {
	case ended.GetState() == musterv1.OperationState_OPERATION_STATE_FAILED:
		line("the %s has failed: %s", title(ended), clean(ended.GetProblem()))
		line("generation %d serves on", seen.GetGeneration())
	case ended.GetState() == musterv1.OperationState_OPERATION_STATE_CANCELLED:
		line("the %s was given up; generation %d serves on", title(ended), seen.GetGeneration())
	case ended.GetState() != musterv1.OperationState_OPERATION_STATE_DONE:
		line("the %s: %s", title(ended), ended.GetState())
	case ended.GetKind() == musterv1.OperationKind_OPERATION_KIND_VERIFY:
		differences(line, ended.GetVerification())
		line("%s", compared(ended))
		if ended.GetVerification().GetDiffering() > 0 {
			line("to mend that: muster projection rebuild %s%s", name, again)
		}
	default:
		line("rebuilt %s: generation %d serves, %s", name, ended.GetGeneration(), effort(ended))
		if former := former(seen); former != 0 {
			line("generation %d is kept, and kept up to date", former)
			line("  to go back to it:  muster projection rollback %s%s", name, again)
			line("  to delete it:      muster projection drop %s%s", name, again)
		}
	}
	if waiting := seen.GetParked(); waiting > 0 && ended.GetState() == musterv1.OperationState_OPERATION_STATE_DONE {
		line("not complete: %s behind an event that cannot be applied; see muster parked list%s", amount(waiting, "stream")+" "+waits(waiting), again)
	}
	return text.String()
}

// waits is what streams do.
func waits(streams int64) string {
	if streams == 1 {
		return "waits"
	}
	return "wait"
}

// compared sums a verification up.
func compared(ended *musterv1.Operation) string {
	found := ended.GetVerification()
	if found.GetDiffering() == 0 {
		return fmt.Sprintf("no row differs: %s of %s compared, %s", amount(found.GetRows(), "row"), clean(ended.GetProjection()), effort(ended))
	}
	verb := "differ"
	if found.GetDiffering() == 1 {
		verb = "differs"
	}
	return fmt.Sprintf("%s of %s %s, %s", count(found.GetDiffering()), amount(found.GetRows(), "row"), verb, effort(ended))
}

// differences shows each row that differs, and its columns.
func differences(line func(string, ...any), found *musterv1.Verification) {
	for _, row := range found.GetDifferences() {
		at := clean(row.GetTable() + " " + row.GetKey())
		switch row.GetKind() {
		case musterv1.DifferenceKind_DIFFERENCE_KIND_SURPLUS:
			line("%s: serves, but the events make no such row", at)
		case musterv1.DifferenceKind_DIFFERENCE_KIND_MISSING:
			line("%s: is missing; the events make it", at)
		default:
			line("%s: differs", at)
		}
		for _, column := range row.GetColumns() {
			line("  %s: %s serves, the events make %s", clean(column.GetColumn()), clean(column.GetServing()), clean(column.GetRebuilt()))
		}
	}
	if shown := int64(len(found.GetDifferences())); shown < found.GetDiffering() {
		line("… and %s more", count(found.GetDiffering()-shown))
	}
}

// effort tells from how much and in which time: "from 61,725 events in 4.2s". The
// events are those that were read; what was told on the way was an estimate.
func effort(ended *musterv1.Operation) string {
	took := ended.GetFinishedAt().AsTime().Sub(ended.GetStartedAt().AsTime())
	return fmt.Sprintf("from %s in %s", amount(ended.GetEventsDone(), "event"), brief(took))
}

// brief is like span, with the tenths of a time that is short.
func brief(d time.Duration) string {
	if d >= 10*time.Second {
		return span(d)
	}
	return strconv.FormatFloat(max(d, 100*time.Millisecond).Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
}

// former is the generation that served before; 0 if there is none.
func former(seen *musterv1.Projection) int64 {
	for _, generation := range seen.GetGenerations() {
		if generation.GetState() == musterv1.GenerationState_GENERATION_STATE_FORMER {
			return generation.GetNumber()
		}
	}
	return 0
}

// writeProjections writes a table, and under it what is wrong.
func writeProjections(out io.Writer, all []*musterv1.Projection, now time.Time) error {
	table := newTable(out)
	table.row("NAME", "SERVICE", "STATE", "GENERATION", "LAG", "PARKED", "RATE", "OPERATION")
	for _, each := range all {
		generation := fmt.Sprint(each.GetGeneration())
		if former := former(each); former != 0 {
			generation += fmt.Sprintf(" (%d kept)", former)
		}
		lag := count(each.GetLagEvents())
		if behind := each.GetLag().AsDuration(); each.GetLagEvents() > 0 && behind >= time.Second {
			lag += ", " + span(behind)
		}
		parked := count(each.GetParked())
		if each.GetParked() > 0 && each.GetOldestParkedAt() != nil {
			parked += ", " + age(each.GetOldestParkedAt(), now)
		}
		rate := fmt.Sprintf("%.1f/s", each.GetEventsPerSecond())
		table.row(each.GetName(), each.GetService(), word(each.GetState().String(), "PROJECTION_STATE_"), generation, lag, parked, rate, lately(each.GetOperation(), now))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, each := range all {
		for _, wrong := range []string{each.GetProblem(), unknown(each.GetUnknownTypes())} {
			if wrong == "" {
				continue
			}
			if _, err := fmt.Fprintf(out, "%s: %s\n", clean(each.GetName()), clean(wrong)); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknown tells of events that the service does not know; empty where it knows all.
func unknown(types []*musterv1.UnknownType) string {
	if len(types) == 0 {
		return ""
	}
	events := int64(0)
	names := make([]string, len(types))
	for i, each := range types {
		events += each.GetEvents()
		names[i] = each.GetType()
	}
	return fmt.Sprintf("%s of %s: %s; a newer version has written them; rebuild after upgrading if the projection needs them",
		amount(events, "event"), amount(int64(len(types)), "unknown type"), strings.Join(names, ", "))
}

// lately tells what is under way, or what the last operation came to.
func lately(operation *musterv1.Operation, now time.Time) string {
	kind := kind(operation)
	switch {
	case operation == nil:
		return "-"
	case running(operation):
		text := fmt.Sprintf("%s into %d, %d%%", kind, operation.GetGeneration(), percent(operation))
		if operation.GetTimeLeft() != nil {
			text += ", " + span(max(operation.GetTimeLeft().AsDuration(), time.Second)) + " left"
		}
		return text
	case operation.GetState() == musterv1.OperationState_OPERATION_STATE_DONE && operation.GetVerification() != nil:
		if operation.GetVerification().GetDiffering() == 0 {
			return fmt.Sprintf("%s: no row differed %s ago", kind, age(operation.GetFinishedAt(), now))
		}
		return fmt.Sprintf("%s: %s differed %s ago", kind, amount(operation.GetVerification().GetDiffering(), "row"), age(operation.GetFinishedAt(), now))
	}
	text := fmt.Sprintf("%s %s %s ago", kind, word(operation.GetState().String(), "OPERATION_STATE_"), age(operation.GetFinishedAt(), now))
	if operation.GetProblem() != "" {
		text += ": " + operation.GetProblem()
	}
	return text
}

// writeParked writes a table of parked events. What a command takes stands in it
// as it takes it: numbers without commas.
func writeParked(out io.Writer, events []*musterv1.ParkedEvent, now time.Time) error {
	if len(events) == 0 {
		_, err := fmt.Fprintln(out, "no event is parked")
		return err
	}
	table := newTable(out)
	table.row("PROJECTION", "STREAM", "VERSION", "TYPE", "GENERATION", "WAITING", "SINCE", "PROBLEM")
	for _, each := range events {
		table.row(each.GetProjection(), each.GetStream(), fmt.Sprint(each.GetVersion()), last(each.GetType()), fmt.Sprint(each.GetGeneration()),
			count(each.GetWaiting()), age(each.GetParkedAt(), now), each.GetProblem())
	}
	return table.Flush()
}

// writeSkipped writes a table of events that were left out.
func writeSkipped(out io.Writer, events []*musterv1.SkippedEvent) error {
	if len(events) == 0 {
		_, err := fmt.Fprintln(out, "no event was left out")
		return err
	}
	table := newTable(out)
	table.row("PROJECTION", "STREAM", "VERSION", "TYPE", "SKIPPED", "BY", "REASON")
	for _, each := range events {
		table.row(each.GetProjection(), each.GetStream(), fmt.Sprint(each.GetVersion()), last(each.GetType()),
			each.GetSkippedAt().AsTime().Format(time.RFC3339), each.GetSkippedBy(), each.GetReason())
	}
	return table.Flush()
}

// last is the name of a type without its package.
func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// writeParkedEvent shows one with what it says.
func writeParkedEvent(out io.Writer, shown *musterv1.GetParkedEventResponse, now time.Time) error {
	event := shown.GetEvent()
	table := newTable(out)
	for _, pair := range [][2]string{
		{"projection", fmt.Sprintf("%s of %s, generation %d", event.GetProjection(), event.GetService(), event.GetGeneration())},
		{"stream", fmt.Sprintf("%s of log %s", event.GetStream(), event.GetLog())},
		{"version", fmt.Sprint(event.GetVersion())},
		{"event", event.GetEventId()},
		{"type", event.GetType()},
		{"occurred", event.GetOccurredAt().AsTime().Format(time.RFC3339)},
		{"parked", fmt.Sprintf("%s, %s ago", event.GetParkedAt().AsTime().Format(time.RFC3339), age(event.GetParkedAt(), now))},
		{"waiting", amount(event.GetWaiting(), "event") + ", this one included"},
		{"attempts", fmt.Sprint(event.GetAttempts())},
		{"problem", event.GetProblem()},
	} {
		table.row(pair[0], pair[1])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(shown.GetPayload()), "", "  "); err != nil {
		pretty.Reset()
		pretty.WriteString(shown.GetPayload()) // it is what may be wrong
	}
	text := "\n"
	for line := range strings.SplitSeq(pretty.String(), "\n") {
		text += clean(line) + "\n"
	}
	if shown.GetSealed() {
		text += "A part of it is personal, and sealed: it is shown to nobody.\n"
	}
	_, err := io.WriteString(out, text)
	return err
}

// table writes columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

// row writes one; what fails, Flush tells.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = clean(cell)
	}
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// writeJSON writes a message as proto3 JSON, as the API does, on one line.
func writeJSON(out io.Writer, message proto.Message) error {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	// protojson puts spaces now here, now there, so that nobody counts on them.
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	line.WriteByte('\n')
	_, err = out.Write(line.Bytes())
	return err
}

// clean takes out what a terminal would obey: rows, problems and payloads hold
// what somebody else has written.
func clean(text string) string {
	return strings.Map(func(char rune) rune {
		if unicode.IsPrint(char) {
			return char
		}
		return '?'
	}, text)
}

// word is the name of a value of an enum as people say it: "catching up".
func word(value, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value, prefix), "_", " "))
}

// amount counts things: "1 row", "2,000 rows".
func amount(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// age is how long ago it was, by our clock.
func age(then *timestamppb.Timestamp, now time.Time) string {
	return span(max(0, now.Sub(then.AsTime())))
}
