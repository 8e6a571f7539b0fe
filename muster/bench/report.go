package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/muster-id/muster/platform/durable"
)

// bound is what a figure has to reach. The zero value asks for nothing.
type bound struct{ least, most float64 }

func atLeast(value float64) bound { return bound{least: value} }
func atMost(value float64) bound  { return bound{most: value} }

// none asks for nothing at all.
var none = bound{most: math.SmallestNonzeroFloat64}

// verdict of a figure. One that could not be had is missed.
func (b bound) verdict(figure float64) string {
	switch {
	case b == bound{}:
		return ""
	case math.IsNaN(figure), b.least > 0 && figure < b.least, b.most > 0 && figure > b.most:
		return "MISSED"
	}
	return "reached"
}

func (b bound) String() string {
	switch {
	case b == none:
		return "0"
	case b.least > 0:
		return fmt.Sprintf("≥ %.2f", b.least)
	case b.most > 0:
		return fmt.Sprintf("≤ %.2f", b.most)
	}
	return "–"
}

// absolute figures of one side, and how one of them reads.
type absolute struct {
	values sample
	text   func(float64) string
}

func (a absolute) String() string {
	if len(a.values) == 0 {
		return "–"
	}
	return a.text(a.values.median())
}

// row compares a figure with a limit or a rival of the same run.
type row struct {
	what, rival string
	// ratio by rounds, and what its median has to reach.
	ratio sample
	reach bound
	// ours and theirs are the figures that the ratio is of.
	ours, theirs absolute
	// memory tells the peak of whom the row is about; empty for nobody's.
	memory string
}

// curve is how a cost grows with the size.
type curve struct {
	what   string
	points []point
	text   func(float64) string
	// reach is what the exponent has to reach.
	reach bound
}

// report is all that was found.
type report struct {
	// facts are what the figures depend on: the machine, versions, settings.
	facts  []string
	rows   []row
	curves []curve
	// plots are drawn besides those of the curves.
	plots []figure
	// notes are what the profiles of missed rows say.
	notes []string
}

// save writes the page, and its plots into a folder beside it that is called
// like the page. Plots of an earlier run that are not drawn any more go.
func (r *report) save(path string) error {
	folder := strings.TrimSuffix(path, filepath.Ext(path))
	drawn := r.figures()
	if err := clearPlots(folder); err != nil {
		return fmt.Errorf("clear the plots: %w", err)
	}
	for _, f := range drawn {
		content, err := f.svg()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // for everybody to read
			return fmt.Errorf("write the plots: %w", err)
		}
		if err := durable.Write(filepath.Join(folder, f.name+plotEnding), content, 0o644); err != nil {
			return fmt.Errorf("write the plots: %w", err)
		}
	}
	var page strings.Builder
	page.WriteString(r.markdown())
	for _, f := range drawn {
		fmt.Fprintf(&page, "\n![%s](%s/%s%s)\n", f.title, filepath.Base(folder), f.name, plotEnding)
	}
	return durable.Write(path, []byte(page.String()), 0o644)
}

const plotEnding = ".svg"

func clearPlots(folder string) error {
	old, err := filepath.Glob(filepath.Join(folder, "*"+plotEnding))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// fileName makes a name of a file from what it is about.
func fileName(what string) string {
	words := strings.FieldsFunc(strings.ToLower(what), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}

// markdown is the page without its plots.
func (r *report) markdown() string {
	var text bytes.Buffer
	line := func(format string, arguments ...any) { fmt.Fprintf(&text, format+"\n", arguments...) }
	line("# Benchmarks\n")
	line("Written by `go tool task bench`. Each ratio is to a limit or a rival of the same run, measured in turn with it: the median of the rounds, the least and the greatest in brackets. Absolute figures are of this machine:\n")
	for _, fact := range r.facts {
		line("- %s", fact)
	}
	if len(r.rows) > 0 {
		line("\n| what | limit or rival | ratio | to reach | | Muster | limit or rival | peak memory |")
		line("|---|---|---|---|---|---|---|---|")
	}
	for _, row := range r.rows {
		line("| %s | %s | %s | %s | %s | %s | %s | %s |", row.what, row.rival, spread(row.ratio), row.reach, row.reach.verdict(row.ratio.median()),
			row.ours, row.theirs, or(row.memory, "–"))
	}
	if len(r.curves) > 0 {
		line("\nHow cost grows: the exponent is the power of the size that it grows with.\n")
		line("| what | by size | exponent | to reach | |")
		line("|---|---|---|---|---|")
	}
	for _, curve := range r.curves {
		var sizes []string
		for _, p := range curve.points {
			sizes = append(sizes, fmt.Sprintf("%s: %s", count(p.size), curve.text(p.value)))
		}
		grows := exponent(curve.points)
		line("| %s | %s | %.2f | %s | %s |", curve.what, strings.Join(sizes, ", "), grows, curve.reach, curve.reach.verdict(grows))
	}
	for _, note := range r.notes {
		line("\n%s", note)
	}
	return text.String()
}

// spread shows a median with the least and the greatest.
func spread(s sample) string {
	if len(s) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.median(), s.percentile(0), s.percentile(100))
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// count writes a number of things, thousands apart.
func count(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// The units that figures read in.

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

func milliseconds(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }

func microseconds(s float64) string { return fmt.Sprintf("%.0f µs", 1e6*s) }

func bytesOf(n float64) string { return fmt.Sprintf("%.0f bytes", n) }

func mebibytes(bytes float64) string { return fmt.Sprintf("%.0f MiB", bytes/(1<<20)) }

// eachSecond reads a duration as a rate of n things.
func eachSecond(n float64, what string) func(float64) string {
	return func(s float64) string { return fmt.Sprintf("%s %s/s", count(n/s), what) }
}

// add takes a row, and tells it.
func (b *bench) add(r row) {
	b.report.rows = append(b.report.rows, r)
	b.say("%s: %s of %s, to reach %s %s", r.what, spread(r.ratio), r.rival, r.reach, r.reach.verdict(r.ratio.median()))
}

// note keeps what is not in the table, and tells it.
func (b *bench) note(format string, arguments ...any) {
	b.report.notes = append(b.report.notes, fmt.Sprintf(format, arguments...))
	b.say(format, arguments...)
}
