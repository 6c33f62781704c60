package main

import (
	"fmt"
	"image/color"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/gabiondb/gabion/bench"
)

// plot draws one file for each kind of workload: for each contender a bar at the median of the rounds, and a line from the
// least to the most.
func (r *results) plot(dir string) error {
	for _, p := range []struct{ file, title, prefix string }{
		{"put.svg", "durable puts a second, 100 B", "put, "},
		{"get.svg", "gets a second, 100 B, all in cache", "get, "},
		{"ycsb.svg", "YCSB operations a second, 64 callers", "YCSB "},
	} {
		var list []workload
		for _, w := range workloads(nil) {
			if strings.HasPrefix(w.name, p.prefix) && r.has(w) {
				list = append(list, w)
			}
		}
		if len(list) == 0 {
			continue
		}
		if err := r.plotBars(filepath.Join(dir, p.file), p.title, p.prefix, list); err != nil {
			return err
		}
	}
	return nil
}

func (r *results) has(w workload) bool { return len(r.row(w.name, w.turns[0].name).Samples) > 0 }

// colours tell contenders apart. One row of the plot is one contender of one workload.
var colours = []struct {
	prefix string
	colour color.Color
}{
	{"gabion exact", color.RGBA{R: 0x1b, G: 0x7f, B: 0x79, A: 0xff}},
	{"gabion message", color.RGBA{R: 0x7b, G: 0xc8, B: 0xc0, A: 0xff}},
	{"gabion", color.RGBA{R: 0x3a, G: 0xa8, B: 0x9f, A: 0xff}},
	{"pebble", color.RGBA{R: 0x5b, G: 0x5b, B: 0x6b, A: 0xff}},
	{"", color.RGBA{R: 0xb8, G: 0xb4, B: 0xa7, A: 0xff}},
}

func (r *results) plotBars(path, title, prefix string, list []workload) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Min = 0
	var names []string
	// From below: the last one first.
	for i := len(list) - 1; i >= 0; i-- {
		w := list[i]
		for j := len(w.turns) - 1; j >= 0; j-- {
			row := r.row(w.name, w.turns[j].name)
			rate := row.Of(bench.Sample.PerSecond)
			bar, err := plotter.NewBarChart(plotter.Values{rate.Median}, vg.Points(11))
			if err != nil {
				return err
			}
			bar.Horizontal, bar.XMin, bar.LineStyle.Width = true, float64(len(names)), 0
			for _, c := range colours {
				if strings.HasPrefix(row.Contender, c.prefix) {
					bar.Color = c.colour
					break
				}
			}
			spread, err := plotter.NewLine(plotter.XYs{{X: rate.Min, Y: float64(len(names))}, {X: rate.Max, Y: float64(len(names))}})
			if err != nil {
				return err
			}
			p.Add(bar, spread)
			names = append(names, strings.TrimPrefix(w.name, prefix)+": "+w.turns[j].name)
		}
		if i > 0 {
			names = append(names, "")
		}
	}
	// Blanks keep a name off the edge.
	for i := range names {
		names[i] = "   " + names[i]
	}
	p.NominalY(names...)
	p.X.Tick.Marker = plot.TickerFunc(func(least, most float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(least, most)
		for i := range ticks {
			if ticks[i].Label != "" {
				ticks[i].Label = fmt.Sprintf("%.0f k", ticks[i].Value/1000)
			}
		}
		return ticks
	})
	return p.Save(24*vg.Centimeter, vg.Length(len(names))*vg.Points(15)+2*vg.Centimeter, path)
}
