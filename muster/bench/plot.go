package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is a plot beside the table.
type figure struct {
	// name of its file, without an ending.
	name, title string
	x, y        axis
	lines       []line
}

// axis of a figure.
type axis struct {
	label string
	// text writes a value at the axis.
	text func(float64) string
	// logarithmic shows powers as straight lines: for what grows with a size. Its
	// values have to be positive. The others begin at zero.
	logarithmic bool
}

// line is one series of a figure; its name is in the legend, if it has one.
type line struct {
	name   string
	points []point
}

const (
	plotWidth  = 16 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
)

// Colours of middling lightness and no background: to be read on a light page
// and on a dark one.
var (
	ink     = color.NRGBA{R: 0x80, G: 0x80, B: 0x80, A: 0xff}
	faint   = color.NRGBA{R: 0x80, G: 0x80, B: 0x80, A: 0x40}
	palette = []color.Color{
		color.NRGBA{R: 0x2f, G: 0x81, B: 0xd7, A: 0xff},
		color.NRGBA{R: 0xd6, G: 0x72, B: 0x1e, A: 0xff},
		color.NRGBA{R: 0x2e, G: 0x9b, B: 0x5b, A: 0xff},
		color.NRGBA{R: 0xb8, G: 0x5a, B: 0xb0, A: 0xff},
	}
)

// svg draws it.
func (f figure) svg() ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = f.title
	write(&p.Title.TextStyle, 12)
	write(&p.Legend.TextStyle, 9)
	p.Legend.Top = true
	for _, side := range []struct {
		axis  *plot.Axis
		given axis
	}{{&p.X, f.x}, {&p.Y, f.y}} {
		side.axis.Label.Text = side.given.label
		write(&side.axis.Label.TextStyle, 10)
		write(&side.axis.Tick.Label, 9)
		side.axis.Color, side.axis.Tick.Color = ink, ink
		if side.given.logarithmic {
			side.axis.Scale = plot.LogScale{}
		} else {
			side.axis.Min = 0
		}
		side.axis.Tick.Marker = side.given
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	for i, series := range f.lines {
		points := make(plotter.XYs, len(series.points))
		for at, point := range series.points {
			points[at] = plotter.XY{X: point.size, Y: point.value}
		}
		drawn, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("plot %s: %w", f.name, err)
		}
		drawn.Color, marks.Color = palette[i%len(palette)], palette[i%len(palette)]
		drawn.Width, marks.Shape = vg.Points(2), draw.CircleGlyph{}
		p.Add(drawn)
		if len(points) <= 20 { // more would hide the line
			p.Add(marks)
		}
		if series.name != "" {
			p.Legend.Add(series.name, drawn)
		}
	}
	for _, side := range []struct {
		axis  *plot.Axis
		given axis
	}{{&p.X, f.x}, {&p.Y, f.y}} {
		if side.given.logarithmic {
			side.axis.Min, side.axis.Max = decades(side.axis.Min, side.axis.Max)
		}
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("plot %s: %w", f.name, err)
	}
	return out.Bytes(), nil
}

func write(style *text.Style, size vg.Length) {
	style.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	style.Color = ink
}

// decades widens a range to whole powers of ten, so that a curve that hardly
// grows looks as flat as it is.
func decades(least, most float64) (from, to float64) {
	low, high := math.Floor(math.Log10(least)+0.001), math.Ceil(math.Log10(most)-0.001)
	if low == high {
		high++
	}
	return math.Pow(10, low), math.Pow(10, high)
}

// Ticks implements plot.Ticker with the axis' own words.
func (a axis) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	if a.logarithmic {
		ticks = plot.LogTicks{}.Ticks(least, most)
	} else {
		ticks = plot.DefaultTicks{}.Ticks(least, most)
	}
	for i := range ticks {
		if !ticks[i].IsMinor() {
			ticks[i].Label = a.text(ticks[i].Value)
		}
	}
	return ticks
}

// figures are the plots of all curves, and those that measurements have made.
func (r *report) figures() []figure {
	all := slices.Clone(r.plots)
	for _, c := range r.curves {
		if len(c.points) < 2 {
			continue // no curve goes through one point
		}
		all = append(all, figure{
			name: fileName(c.what), title: c.what,
			x:     axis{label: "events in the log", text: count, logarithmic: true},
			y:     axis{text: c.text, logarithmic: true},
			lines: []line{{points: c.points}},
		})
	}
	return all
}
