package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabiondb/gabion/actors"
)

// Collector collects what a Gabion does, and nothing of the process or of Go: a program has those in its own registry. One registry
// takes one Collector; for a second Gabion wrap it by prometheus.WrapRegistererWith, with a label.
type Collector struct {
	parts []prometheus.Collector
	leave func()
}

// NewCollector makes the collector of g, whose program has the version. What it counts of runs, verifies and restores it counts from
// here on. Close it, also where it is registered no more. ops.NewCollector needs no Latest.
func NewCollector(g *actors.Gabion, version string, latest Latest) *Collector {
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gabion_build_info", Help: "1, with the version of Gabion and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()}})
	build.Set(1)
	runs := newRuns()
	return &Collector{
		parts: []prometheus.Collector{build, &tables{gabion: g, latest: latest, runs: runs}, runs},
		leave: g.Subscribe(runs.handle),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, part := range c.parts {
		part.Describe(descriptions)
	}
}

// Collect implements prometheus.Collector. It waits for no disk.
func (c *Collector) Collect(samples chan<- prometheus.Metric) {
	for _, part := range c.parts {
		part.Collect(samples)
	}
}

// Close ends the counting.
func (c *Collector) Close() { c.leave() }
