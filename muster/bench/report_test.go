package main

import (
	"math"
	"strings"
	"testing"
)

// A figure that misses is never printed as one that was reached, and neither is
// one that could not be had.
func TestWhatMissesItsBoundIsPrintedAsMissed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reach  bound
		figure float64
		want   string
	}{
		{atLeast(0.5), 0.5, "reached"},
		{atLeast(0.5), 0.499, "MISSED"},
		{atMost(2), 2, "reached"},
		{atMost(2), 2.001, "MISSED"},
		{atLeast(0.5), math.NaN(), "MISSED"},
		{atMost(2), math.NaN(), "MISSED"},
		{bound{}, 7, ""},
	} {
		if got := c.reach.verdict(c.figure); got != c.want {
			t.Errorf("%v with %v is %q, want %q", c.figure, c.reach, got, c.want)
		}
	}
}

func TestTheTableTellsRatioSpreadVerdictAndAbsolutes(t *testing.T) {
	t.Parallel()
	var r report
	r.facts = []string{"two cores"}
	r.rows = []row{{
		what: "rebuild", rival: "the stream alone", ratio: sample{0.4, 0.45, 0.6}, reach: atLeast(0.5),
		ours: absolute{sample{2, 2, 2}, eachSecond(10_000, "events")}, theirs: absolute{sample{1}, seconds}, memory: "credentials 80 MiB",
	}}
	r.curves = []curve{{what: "rebuild", points: []point{{1e4, 1}, {1e6, 100}}, text: seconds, reach: atMost(1.05)}}
	r.notes = []string{"It waits for the disk."}
	table := r.markdown()
	for _, want := range []string{
		"- two cores\n",
		"| rebuild | the stream alone | 0.45 (0.40–0.60) | ≥ 0.50 | MISSED | 5,000 events/s | 1.00 s | credentials 80 MiB |\n",
		"| rebuild | 10,000: 1.00 s, 1,000,000: 100.00 s | 1.00 | ≤ 1.05 | reached |\n",
		"It waits for the disk.\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestNumbersReadInThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1_000_002: "1,000,002"} {
		if got := count(n); got != want {
			t.Errorf("%v reads %q, want %q", n, got, want)
		}
	}
}
