package ops

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/ops/metrics"
)

// Collector gives a program's own Prometheus registry what /metrics says of a Gabion, without the metrics of the process.
type Collector struct {
	collector *metrics.Collector
	monitor   *monitor
}

// NewCollector makes the collector of g. What it counts of runs, verifies and restores it counts from here on. A scrape asks for
// health at most once a second, and waits a second for it at most. Close it before g stops, or beside it.
func NewCollector(g *actors.Gabion) *Collector {
	m := newMonitor(g)
	return &Collector{metrics.NewCollector(g, moduleVersion(), m.latest), m}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	c.collector.Describe(descriptions)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(samples chan<- prometheus.Metric) { c.collector.Collect(samples) }

// Close ends the counting.
func (c *Collector) Close() {
	c.collector.Close()
	c.monitor.leave()
}
