package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// recovery is how long a part was away and took to come back.
type recovery struct {
	fault fault
	began time.Duration // since the run's beginning
	back  time.Duration // from the fault's end
	err   error
}

// summary gives the tables of a run.
func (r *run) summary() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(format string, arguments ...any) { _, _ = fmt.Fprintf(table, format+"\n", arguments...) }

	line("part\tfault\ttimes\tback after, median\tat most")
	byKind := map[string][]time.Duration{}
	for _, each := range r.recoveries {
		kind := each.fault.part + "\t" + each.fault.way
		byKind[kind] = append(byKind[kind], each.back)
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		times := slices.Sorted(slices.Values(byKind[kind]))
		line("%s\t%d\t%.2f s\t%.2f s", kind, len(times), times[len(times)/2].Seconds(), times[len(times)-1].Seconds())
	}
	_ = table.Flush()

	line("\nwrite\tacknowledged\trefused\tunknown")
	kinds := map[string]bool{}
	for _, w := range r.history.writes {
		kinds[w.kind] = true
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		line("%s\t%d\t%d\t%d", kind, r.history.told(kind, acknowledged), r.history.told(kind, refused), r.history.told(kind, unknown))
	}
	_ = table.Flush()

	line("\nmethod\tok\tp50\tp99\tother answers")
	for _, method := range slices.Sorted(maps.Keys(r.history.answers)) {
		counts := maps.Clone(r.history.answers[method])
		took := slices.Sorted(slices.Values(r.history.took[method]))
		ok := counts["ok"]
		delete(counts, "ok")
		var others []string
		for _, label := range slices.Sorted(maps.Keys(counts)) {
			others = append(others, fmt.Sprintf("%s %d", label, counts[label]))
		}
		line("%s\t%d\t%s\t%s\t%s", method, ok, quantile(took, 0.5), quantile(took, 0.99), strings.Join(others, ", "))
	}
	_ = table.Flush()
	line("\nlog: %d events of the run, %d keys; reads told to come again: %d; calls that the gateway did not answer while it was away: %d",
		len(r.logged.events), len(r.logged.commands), r.history.delayed, len(r.history.unreached))
	line("verified: %s", strings.Join(r.verified, ", "))
	_ = table.Flush()
	return text.String()
}

func quantile(sorted []time.Duration, of float64) string {
	if len(sorted) == 0 {
		return "-"
	}
	at := min(int(of*float64(len(sorted))), len(sorted)-1)
	return fmt.Sprintf("%.0f ms", float64(sorted[at].Microseconds())/1000)
}
