package metrics_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/metrics"
)

// TestReport: each metric is of what the health report says, and of nothing else.
func TestReport(t *testing.T) {
	g, _ := start(t)
	stamp := func(second int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(second, 0)) }
	fragmentation := 0.25
	report := &messages.HealthReport{NextRun: stamp(1001), LastRun: &messages.BackupSet{Started: stamp(1), Finished: stamp(1002)},
		Tables: []*messages.TableHealth{{Table: "a", State: messages.TableState_TABLE_STATE_OPEN, Grade: messages.Grade_GRADE_RED,
			Count: 1, LiveBytes: 2, DiskBytes: 3, Pending: 4, Restarts: 5, Backups: 6, RedBackups: 7, Fragmentation: &fragmentation,
			LastSuccess: stamp(1003), LastProof: stamp(1004)}}}
	at := time.Unix(1005, 0)
	m := metrics.New(g, "v1", func(context.Context) (*messages.HealthReport, time.Time) { return report, at })
	defer m.Close()
	all := families(t, m)
	for name, want := range map[string]float64{
		"gabion_next_run_timestamp_seconds": 1001, "gabion_last_run_timestamp_seconds": 1002, "gabion_health_timestamp_seconds": 1005,
		"gabion_table_rows": 1, "gabion_table_live_bytes": 2, "gabion_table_disk_bytes": 3, "gabion_table_pending_operations": 4,
		"gabion_table_restarts_total": 5, "gabion_table_backups": 6, "gabion_table_red_backups": 7, "gabion_table_fragmentation_ratio": .25,
		"gabion_table_last_backup_timestamp_seconds": 1003, "gabion_table_last_proof_timestamp_seconds": 1004,
	} {
		if got := value(all[name]); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, since := range map[string]int64{"gabion_table_last_backup_age_seconds": 1003, "gabion_table_last_proof_age_seconds": 1004} {
		if got, want := value(all[name]), time.Since(time.Unix(since, 0)).Seconds(); got > want || got < want-60 {
			t.Errorf("%s is %v, want about %v", name, got, want)
		}
	}
	if got := value(all["gabion_grade"], "grade", "red"); got != 1 {
		t.Errorf("a report of 1970 is no danger: %v", got)
	}
	report, at = nil, time.Time{} // nobody has an answer yet
	if got := value(families(t, m)["gabion_health_timestamp_seconds"]); got != 0 {
		t.Errorf("before the first report: %v", got)
	}
}

// TestUnknownHasNoSample: what a report does not know has no sample, in place of a 0, and is marked as unknown; the rest is there.
func TestUnknownHasNoSample(t *testing.T) {
	g, _ := start(t)
	report := &messages.HealthReport{Grade: messages.Grade_GRADE_YELLOW, Tables: []*messages.TableHealth{{Table: "a", Grade: messages.Grade_GRADE_YELLOW}}}
	m := metrics.New(g, "v1", func(context.Context) (*messages.HealthReport, time.Time) { return report, time.Now() })
	defer m.Close()
	for figure, names := range map[messages.Figure][]string{
		messages.Figure_FIGURE_ROWS:        {"gabion_table_rows", "gabion_table_live_bytes"},
		messages.Figure_FIGURE_DISK:        {"gabion_table_disk_bytes"},
		messages.Figure_FIGURE_BACKUPS:     {"gabion_table_backups", "gabion_table_red_backups"},
		messages.Figure_FIGURE_LAST_BACKUP: {"gabion_table_last_backup_timestamp_seconds", "gabion_table_last_backup_age_seconds"},
		messages.Figure_FIGURE_LAST_PROOF:  {"gabion_table_last_proof_timestamp_seconds", "gabion_table_last_proof_age_seconds"},
	} {
		label := strings.ToLower(strings.TrimPrefix(figure.String(), "FIGURE_"))
		for _, known := range []bool{true, false} {
			report.Tables[0].Unknown = nil
			if !known {
				report.Tables[0].Unknown = []messages.Figure{figure}
			}
			all := families(t, m)
			for _, name := range names {
				if (all[name] != nil) != known {
					t.Errorf("%s, known %v: %v", name, known, all[name])
				}
			}
			if got := value(all["gabion_table_unknown"], "table", "a", "figure", label) == 0; got != known {
				t.Errorf("%s is marked as known: %v", label, got)
			}
			if all["gabion_table_pending_operations"] == nil || value(all["gabion_grade"], "grade", "yellow") != 1 {
				t.Errorf("without %s the rest is gone", label)
			}
		}
	}
	for _, figure := range []messages.Figure{messages.Figure_FIGURE_UNDO, messages.Figure_FIGURE_UNCONFIGURED, messages.Figure_FIGURE_SCHEDULE, messages.Figure_FIGURE_LAST_RUN} {
		report.Unknown = []messages.Figure{figure}
		all := families(t, m)
		if value(all["gabion_unknown"], "figure", strings.ToLower(strings.TrimPrefix(figure.String(), "FIGURE_"))) != 1 {
			t.Errorf("%v is not marked", figure)
		}
		if (all["gabion_last_run_timestamp_seconds"] == nil) != (figure == messages.Figure_FIGURE_LAST_RUN) {
			t.Errorf("%v: last run is %v", figure, all["gabion_last_run_timestamp_seconds"])
		}
	}
	// A time of the future is none: an age would be negative, and as young as can be.
	report.Unknown, report.LastRun = nil, &messages.BackupSet{Finished: timestamppb.New(time.Now().Add(time.Hour))}
	if got := families(t, m)["gabion_last_run_timestamp_seconds"]; got != nil {
		t.Errorf("last run of the future: %v", got)
	}
}

// TestDroppedTable leaves nothing behind, also of what runs did for it.
func TestDroppedTable(t *testing.T) {
	g, m := start(t)
	if _, err := g.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	of := func(table string) (names []string) {
		for name, family := range families(t, m) {
			for _, metric := range family.GetMetric() {
				for _, label := range metric.GetLabel() {
					if label.GetName() == "table" && label.GetValue() == table {
						names = append(names, name)
					}
				}
			}
		}
		return names
	}
	for deadline := time.Now().Add(10 * time.Second); value(families(t, m)["gabion_table_backup_outcomes_total"], "table", "b", "outcome", "backed_up") != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the run was not counted")
		}
	}
	if err := g.DropTable(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if left := of("b"); len(left) > 0 {
		t.Errorf("of the table that was dropped: %q", left)
	}
	if len(of("a")) == 0 {
		t.Error("nothing of the one that is there")
	}
}
