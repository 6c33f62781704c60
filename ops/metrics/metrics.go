// Package metrics exports what a Gabion does for Prometheus, from a registry of its own.
package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// Latest returns the newest health report and when it was made, nil where there is none yet. It waits for no disk.
type Latest func(context.Context) (*messages.HealthReport, time.Time)

// Metrics answers scrapes. What it counts of runs, verifies and restores it counts from New on, the rest from the start of the
// Gabion.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	leave    func()
}

// New makes the metrics of g, whose program has the version. Close it.
func New(g *actors.Gabion, version string, latest Latest) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	c := NewCollector(g, version, latest)
	m.registry.MustRegister(c, // names that are registered twice are a fault of this package
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.leave = c.Close
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8, EnableOpenMetrics: true})
	return m
}

// Gatherer is what the scrapes are answered from.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// ServeHTTP implements http.Handler.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Close ends the counting.
func (m *Metrics) Close() { m.leave() }
