package metrics

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	// scrapePatience is how long a scrape waits for health.
	scrapePatience = 2 * time.Second
	// staleReport is how old a report may be whose grade still holds.
	staleReport = time.Minute
)

// tables collects what is known of each table at the time of the scrape. A table that is gone has no metrics.
type tables struct {
	gabion *actors.Gabion
	latest Latest
	runs   *runs
}

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gabion_"+name, help, labels, nil)
}

var (
	healthTime = description("health_timestamp_seconds", "When the health was looked at that the metrics of tables come from; 0 before the first time.")
	nextRun    = description("next_run_timestamp_seconds", "When the next scheduled run is due. Without a schedule there is none.")
	lastRun    = description("last_run_timestamp_seconds", "When the last run ended; 0 before the first. While it is unknown there is none.")
	wholeGrade = description("grade", "1 for the grade of the whole, which is the worst of its tables and of what it could find out, 0 for the others.", "grade")
	unknown    = description("unknown", "1 while a figure of the whole cannot be found out: what lies on disk, or how the runs went.", "figure")

	tableState     = description("table_state", "1 for the state that the table is in, 0 for the others.", "table", "state")
	tableGrade     = description("table_grade", "1 for the grade of the table, 0 for the others: green is safe, yellow overdue or unknown, red in danger.", "table", "grade")
	tableUnknown   = description("table_unknown", "1 while a figure of the table cannot be found out. Its metric is absent then.", "table", "figure")
	tableRows      = description("table_rows", "Rows of the table; of one at_cut, an estimate.", "table")
	tableLive      = description("table_live_bytes", "Bytes of the live keys and values.", "table")
	tableDisk      = description("table_disk_bytes", "Bytes of the files of the table, its WAL among them.", "table")
	tableGaps      = description("table_fragmentation_ratio", "Share of the sstables' bytes that is not live data.", "table")
	tablePending   = description("table_pending_operations", "Operations that wait for their commit.", "table")
	tableRestarts  = description("table_restarts_total", "Restarts of the owner and reopens of the store.", "table")
	tableChanges   = description("table_state_changes_total", "How often the table came into a state. A frozen store comes into reopening, a disk that hangs makes stalled.", "table", "state")
	tableBackups   = description("table_backups", "Complete backups of the table on disk.", "table")
	tableRed       = description("table_red_backups", "Backups of the table that are red: not what their manifest says.", "table")
	tableLosses    = description("losses_unacknowledged", "Losses of the table that nobody has acknowledged.", "table")
	tableLost      = description("lost_operations_unacknowledged", "Operations in those losses, as far as is known.", "table")
	backupTime     = description("table_last_backup_timestamp_seconds", "When the table was last backed up, or found unchanged; 0 for never.", "table")
	backupAge      = description("table_last_backup_age_seconds", "How long ago that was; +Inf for never.", "table")
	proofTime      = description("table_last_proof_timestamp_seconds", "When a backup of the table was last proven to restore; 0 for never.", "table")
	proofAge       = description("table_last_proof_age_seconds", "How long ago that was; +Inf for never.", "table")
	tableOutcomes  = description("table_backup_outcomes_total", "What runs did for the table: backed_up, carried_forward where nothing had changed, or failed.", "table", "outcome")
	commitSeconds  = description("commit_duration_seconds", "How long groups of writes took until they were durable and answered.", "table")
	groupOperation = description("commit_group_operations", "Operations in a group of writes that share an fsync.", "table")
)

// Describe implements prometheus.Collector.
func (t *tables) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{healthTime, nextRun, lastRun, wholeGrade, unknown, tableState, tableGrade, tableUnknown, tableRows, tableLive, tableDisk, tableGaps,
		tablePending, tableRestarts, tableChanges, tableBackups, tableRed, tableLosses, tableLost, backupTime, backupAge, proofTime, proofAge, tableOutcomes, commitSeconds, groupOperation} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (t *tables) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	report, at := t.latest(ctx)
	gauge(healthTime, seconds(at))
	if next := report.GetNextRun(); next != nil {
		gauge(nextRun, seconds(next.AsTime()))
	}
	now := time.Now()
	if finished := report.GetLastRun().GetFinished(); report != nil && report.Knows(messages.Figure_FIGURE_LAST_RUN) && !messages.AheadOf(finished, now) {
		gauge(lastRun, stamp(finished))
	}
	grade := report.GetGrade()
	if report == nil || time.Since(at) > staleReport {
		grade = messages.Grade_GRADE_RED // a disk may hang
	}
	choices(messages.Grade_name, "GRADE_", int32(grade), func(grade string, value float64) { gauge(wholeGrade, value, grade) })
	figures(wholeFigures, report.Knows, func(figure string, value float64) { gauge(unknown, value, figure) })
	there := make(map[string]bool)
	for _, row := range report.GetTables() {
		name := row.GetTable()
		there[name] = true
		choices(messages.TableState_name, "TABLE_STATE_", int32(row.GetState()), func(state string, value float64) {
			gauge(tableState, value, name, state)
		})
		choices(messages.Grade_name, "GRADE_", int32(row.GetGrade()), func(grade string, value float64) {
			gauge(tableGrade, value, name, grade)
		})
		figures(tableFigures, row.Knows, func(figure string, value float64) { gauge(tableUnknown, value, name, figure) })
		if row.Knows(messages.Figure_FIGURE_ROWS) {
			gauge(tableRows, float64(row.GetCount()), name)
			gauge(tableLive, float64(row.GetLiveBytes()), name)
		}
		if row.Knows(messages.Figure_FIGURE_DISK) {
			gauge(tableDisk, float64(row.GetDiskBytes()), name)
		}
		if row.Fragmentation != nil {
			gauge(tableGaps, row.GetFragmentation(), name)
		}
		gauge(tablePending, float64(row.GetPending()), name)
		counter(tableRestarts, float64(row.GetRestarts()), name)
		if row.Knows(messages.Figure_FIGURE_BACKUPS) {
			gauge(tableBackups, float64(row.GetBackups()), name)
			gauge(tableRed, float64(row.GetRedBackups()), name)
		}
		if row.Knows(messages.Figure_FIGURE_LAST_BACKUP) {
			gauge(backupTime, stamp(row.GetLastSuccess()), name)
			gauge(backupAge, age(row.GetLastSuccess(), now), name)
		}
		if row.Knows(messages.Figure_FIGURE_LAST_PROOF) {
			gauge(proofTime, stamp(row.GetLastProof()), name)
			gauge(proofAge, age(row.GetLastProof(), now), name)
		}
		for outcome, n := range t.runs.outcomesOf(name) {
			counter(tableOutcomes, float64(n), name, lower("OUTCOME_", outcome.String()))
		}
	}
	for name, of := range lossesOf(report, there) {
		gauge(tableLosses, of.losses, name)
		gauge(tableLost, of.operations, name)
	}
	if report != nil {
		t.runs.forget(there, at)
	}
	for _, s := range t.gabion.TableStats() {
		for state, n := range s.Became {
			counter(tableChanges, float64(n), s.Table, lower("TABLE_STATE_", state.String()))
		}
		metrics <- histogram(commitSeconds, s.CommitSeconds, s.Table)
		metrics <- histogram(groupOperation, s.GroupOperations, s.Table)
	}
}

// The figures that may be unknown, of a table and of the whole.
var (
	tableFigures = []messages.Figure{messages.Figure_FIGURE_ROWS, messages.Figure_FIGURE_DISK, messages.Figure_FIGURE_BACKUPS,
		messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_PROOF, messages.Figure_FIGURE_LAST_RUN}
	wholeFigures = []messages.Figure{messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_RUN, messages.Figure_FIGURE_SCHEDULE,
		messages.Figure_FIGURE_UNCONFIGURED, messages.Figure_FIGURE_UNDO, messages.Figure_FIGURE_LOSSES}
)

// figures calls set for each figure, by its name in small letters: with 1 for an unknown figure.
func figures(all []messages.Figure, knows func(messages.Figure) bool, set func(name string, value float64)) {
	for _, f := range all {
		value := 0.0
		if !knows(f) {
			value = 1
		}
		set(lower("FIGURE_", f.String()), value)
	}
}

// lost counts what a table lost.
type lost struct{ losses, operations float64 }

// lossesOf returns how many losses nobody has acknowledged, by table. Tables without any are there, and so are dropped
// ones. It returns nothing where losses are unknown.
func lossesOf(report *messages.HealthReport, tables map[string]bool) map[string]lost {
	all := make(map[string]lost)
	if slices.Contains(report.GetUnknown(), messages.Figure_FIGURE_LOSSES) {
		return all
	}
	for table := range tables {
		all[table] = lost{}
	}
	for _, loss := range report.GetLosses() {
		of := all[loss.GetTable()]
		of.losses++
		if loss.GetToSeq() > 0 {
			of.operations += float64(loss.GetToSeq() - loss.GetFromSeq() + 1)
		}
		all[loss.GetTable()] = of
	}
	return all
}

// choices calls set for each value of an enum, by its name in small letters: with 1 for the one that is.
func choices(names map[int32]string, prefix string, is int32, set func(name string, value float64)) {
	for number, name := range names {
		if number == 0 {
			continue
		}
		value := 0.0
		if number == is {
			value = 1
		}
		set(lower(prefix, name), value)
	}
}

func lower(prefix, name string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func histogram(d *prometheus.Desc, h actors.Histogram, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	for i, bound := range h.Bounds {
		buckets[bound] = h.Counts[i]
	}
	return prometheus.MustNewConstHistogram(d, h.Count, h.Sum, buckets, labels...)
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func stamp(t *timestamppb.Timestamp) float64 {
	if t == nil {
		return 0
	}
	return seconds(t.AsTime())
}

// age is no less than 0: health counts no time that is dated in the future.
func age(t *timestamppb.Timestamp, now time.Time) float64 {
	if t == nil {
		return math.Inf(1)
	}
	return max(0, now.Sub(t.AsTime()).Seconds())
}
