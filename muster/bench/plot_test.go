package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page shows every curve, and none of a former run.
func TestEveryCurveHasItsPlotBesideThePage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	page := filepath.Join(folder, "benchmarks.md")
	stale := filepath.Join(folder, "benchmarks", "gone.svg")
	if err := errors.Join(os.Mkdir(filepath.Dir(stale), 0o755), os.WriteFile(stale, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r := &report{
		curves: []curve{
			{what: "rebuild, of access", points: []point{{1e4, 1}, {1e5, 9}, {1e6, 100}}, text: seconds},
			{what: "one size", points: []point{{1e4, 1}}, text: seconds},
		},
		plots: []figure{{
			name: "lag", title: "Lag & rate", x: axis{label: "seconds", text: count}, y: axis{text: milliseconds},
			lines: []line{{"ours", []point{{0, 0.001}, {1, 0.002}}}, {"theirs", []point{{0, 0.002}, {1, 0.002}}}},
		}},
	}
	if err := r.save(page); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rebuild-of-access", "lag"} {
		if !strings.Contains(string(text), "](benchmarks/"+name+".svg)") {
			t.Errorf("the page does not show %s:\n%s", name, text)
		}
		drawn, err := os.ReadFile(filepath.Join(folder, "benchmarks", name+".svg")) //nolint:gosec // the test's own
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, name, string(drawn))
	}
	left, err := filepath.Glob(filepath.Join(folder, "benchmarks", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("%v lie beside the page, %v", left, err)
	}
}

// No background and no black: it is read on a light page and on a dark one.
func TestAPlotSuitsLightAndDark(t *testing.T) {
	t.Parallel()
	drawn, err := figure{
		name: "x", title: "x", x: axis{text: count, logarithmic: true}, y: axis{text: seconds, logarithmic: true}, lines: []line{{"", []point{{1e4, 1}, {1e6, 90}}}},
	}.svg()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"#000000", "#FFFFFF", "<rect"} {
		if strings.Contains(string(drawn), bad) {
			t.Errorf("there is %s in it:\n%s", bad, drawn)
		}
	}
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestAxesOfPowersEndAtPowers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ least, most, from, to float64 }{
		{1e4, 1e6, 1e4, 1e6}, {0.3, 40, 0.1, 100}, {150e-6, 180e-6, 1e-4, 1e-3}, {10, 10, 10, 100},
	} {
		if from, to := decades(c.least, c.most); from/c.from < 0.999 || from/c.from > 1.001 || to/c.to < 0.999 || to/c.to > 1.001 {
			t.Errorf("%v to %v is shown from %v to %v, want %v to %v", c.least, c.most, from, to, c.from, c.to)
		}
	}
}
