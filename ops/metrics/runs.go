package metrics

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// runs counts runs, verifies and restores by their events.
type runs struct {
	ended, verifies, restores     *prometheus.CounterVec
	copied                        prometheus.Counter
	runSeconds                    prometheus.Histogram
	verifySeconds, restoreSeconds prometheus.Histogram

	mu sync.Mutex
	// tables counts what runs did for each table.
	tables map[string]*outcomes
}

// outcomes are how often each came, and when the last did.
type outcomes struct {
	counts map[messages.Outcome]int
	last   time.Time
}

// The outcomes of a run: of all tables, of some, of none.
const (
	complete = "complete"
	partial  = "partial"
	failed   = "failed"
)

// workSeconds are the bounds of durations: from a run that finds nothing changed to one that copies terabytes.
var workSeconds = []float64{.01, .05, .1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400}

func newRuns() *runs {
	counters := func(name, help string, label ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gabion_" + name, Help: help}, label)
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gabion_" + name, Help: help, Buckets: workSeconds})
	}
	r := &runs{
		tables:   make(map[string]*outcomes),
		ended:    counters("runs_total", "Runs that ended: complete where every table is backed up, partial where some are, failed where none is.", "outcome"),
		verifies: counters("verifies_total", "Backups that were verified: proven, or red.", "verdict"),
		restores: counters("restores_total", "Tables that were restored; healed where nobody asked for it.", "healed"),
		copied: prometheus.NewCounter(prometheus.CounterOpts{Name: "gabion_run_copied_bytes_total",
			Help: "Bytes that runs copied to the backup directory; what they linked is not counted."}),
		runSeconds:     histogram("run_duration_seconds", "How long runs took."),
		verifySeconds:  histogram("verify_duration_seconds", "How long verifies of one backup took."),
		restoreSeconds: histogram("restore_duration_seconds", "How long restores took, the copy and its verify among them."),
	}
	// A counter that is not there until it counts hides its first step.
	for _, outcome := range []string{complete, partial, failed} {
		r.ended.WithLabelValues(outcome)
	}
	for _, verdict := range []string{"proven", "red"} {
		r.verifies.WithLabelValues(verdict)
	}
	for _, healed := range []string{"false", "true"} {
		r.restores.WithLabelValues(healed)
	}
	return r
}

func (r *runs) all() []prometheus.Collector {
	return []prometheus.Collector{r.ended, r.verifies, r.restores, r.copied, r.runSeconds, r.verifySeconds, r.restoreSeconds}
}

// Describe implements prometheus.Collector.
func (r *runs) Describe(descriptions chan<- *prometheus.Desc) {
	for _, c := range r.all() {
		c.Describe(descriptions)
	}
}

// Collect implements prometheus.Collector.
func (r *runs) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range r.all() {
		c.Collect(metrics)
	}
}

// handle counts an event.
func (r *runs) handle(event proto.Message) {
	switch m := event.(type) {
	case *messages.BackupComplete:
		outcome := complete
		switch {
		case len(m.GetFailed()) > 0 && len(m.GetBackedUp()) > 0:
			outcome = partial
		case len(m.GetFailed()) > 0:
			outcome = failed
		}
		r.ended.WithLabelValues(outcome).Inc()
		r.runSeconds.Observe(between(m.GetStarted(), m.GetFinished()))
		for _, result := range slices.Concat(m.GetBackedUp(), m.GetFailed()) {
			r.copied.Add(float64(result.GetCopiedBytes()))
			r.count(result)
		}
	case *messages.BackupVerified:
		p := m.GetProof()
		r.verifies.WithLabelValues(lower("VERDICT_", p.GetVerdict().String())).Inc()
		r.verifySeconds.Observe(between(p.GetStarted(), p.GetFinished()))
	case *messages.TableRestored:
		healed := "false"
		if m.GetHealed() {
			healed = "true"
		}
		r.restores.WithLabelValues(healed).Inc()
		r.restoreSeconds.Observe(between(m.GetStarted(), m.GetFinished()))
	}
}

// count counts what became of a table.
func (r *runs) count(result *messages.TableResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.tables[result.GetTable()]
	if of == nil {
		of = &outcomes{counts: make(map[messages.Outcome]int)}
		r.tables[result.GetTable()] = of
	}
	of.counts[result.GetOutcome()]++
	of.last = time.Now()
}

// outcomesOf returns a table's count of each outcome, those that never came among them.
func (r *runs) outcomesOf(table string) map[messages.Outcome]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[messages.Outcome]int)
	for number := range messages.Outcome_name {
		if o := messages.Outcome(number); o != messages.Outcome_OUTCOME_UNSPECIFIED {
			all[o] = 0
		}
	}
	if of := r.tables[table]; of != nil {
		maps.Copy(all, of.counts)
	}
	return all
}

// forget takes away the counts of tables that were not there at a time, unless something was counted since.
func (r *runs) forget(there map[string]bool, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.tables, func(table string, of *outcomes) bool { return !there[table] && of.last.Before(at) })
}

// between is the time between two, in seconds; a clock that was set back makes it no less than 0.
func between(a, b *timestamppb.Timestamp) float64 {
	return max(0, b.AsTime().Sub(a.AsTime()).Seconds())
}
