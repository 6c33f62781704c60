package metrics_test

import (
	"context"
	"log/slog"
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns the metrics of a Gabion with two tables.
func start(t *testing.T) (*actors.Gabion, *metrics.Metrics) {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	g, err := actors.Start(t.Context(), system, actors.Config{Dir: t.TempDir() + "/d", Tables: []string{"a", "b"}, DisableSchedule: true, DisableDrill: true})
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New(g, "v1.2.3", func(ctx context.Context) (*messages.HealthReport, time.Time) {
		report, err := g.Health(ctx)
		if err != nil {
			t.Error(err)
		}
		return report, time.Now()
	})
	t.Cleanup(func() {
		m.Close()
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		system.Shutdown()
	})
	return g, m
}

// families gathers by name.
func families(t *testing.T, m *metrics.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// value is that of the one metric of a family that has all these labels, each name and value; NaN where there is none.
func value(f *dto.MetricFamily, labels ...string) float64 {
metrics:
	for _, m := range f.GetMetric() {
		for i := 0; i < len(labels); i += 2 {
			found := false
			for _, l := range m.GetLabel() {
				found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
			}
			if !found {
				continue metrics
			}
		}
		switch {
		case m.GetGauge() != nil:
			return m.GetGauge().GetValue()
		case m.GetCounter() != nil:
			return m.GetCounter().GetValue()
		case m.GetHistogram() != nil:
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	return math.NaN()
}

// TestNames: promlint finds nothing, and every metric of ours says whose it is.
func TestNames(t *testing.T) {
	g, m := start(t)
	if _, err := g.Table("a").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []*dto.MetricFamily
	ours := 0
	for name, f := range families(t, m) {
		all = append(all, f)
		if regexp.MustCompile(`^gabion_[a-z_]+$`).MatchString(name) {
			ours++
		} else if !regexp.MustCompile(`^(go|process)_`).MatchString(name) {
			t.Errorf("metric %s is of nobody", name)
		}
		if f.GetHelp() == "" {
			t.Errorf("metric %s has no help", name)
		}
	}
	if ours < 25 {
		t.Errorf("%d metrics", ours)
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestValues: what a table does and what runs, verifies and restores do is counted; what never happened is told, too.
func TestValues(t *testing.T) {
	g, m := start(t)
	before := families(t, m)
	for name, want := range map[string]float64{
		"gabion_table_last_backup_age_seconds": math.Inf(1), "gabion_table_last_proof_age_seconds": math.Inf(1),
		"gabion_table_last_backup_timestamp_seconds": 0, "gabion_table_backups": 0, "gabion_table_rows": 0,
	} {
		if got := value(before[name], "table", "a"); got != want {
			t.Errorf("before: %s is %v, want %v", name, got, want)
		}
	}
	for _, outcome := range []string{"backed_up", "carried_forward", "failed"} {
		if got := value(before["gabion_table_backup_outcomes_total"], "table", "a", "outcome", outcome); got != 0 {
			t.Errorf("before: %s %v", outcome, got)
		}
	}
	if got := value(before["gabion_runs_total"], "outcome", "complete"); got != 0 {
		t.Errorf("before: runs %v", got)
	}
	w := &messages.Write{}
	for _, key := range []string{"x", "y", "z"} {
		w.Ops = append(w.Ops, messages.PutOp([]byte(key), []byte("value")))
	}
	if _, err := g.Table("a").Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := g.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.VerifyBackup(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := g.RestoreTable(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := g.CloseTable(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	var after map[string]*dto.MetricFamily
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // the events come beside
		after = families(t, m)
		if value(after["gabion_table_backup_outcomes_total"], "table", "b", "outcome", "failed") == 1 {
			break
		}
	}
	after = families(t, m) // what was counted in the middle of a scrape
	for _, c := range []struct {
		name   string
		want   float64
		labels []string
	}{
		{"gabion_table_rows", 3, []string{"table", "a"}},
		{"gabion_table_live_bytes", 18, []string{"table", "a"}},
		{"gabion_table_state", 1, []string{"table", "b", "state", "closed"}},
		{"gabion_table_state", 0, []string{"table", "b", "state", "open"}},
		{"gabion_table_state", 1, []string{"table", "a", "state", "open"}},
		{"gabion_table_grade", 1, []string{"table", "a", "grade", "green"}},
		{"gabion_table_state_changes_total", 1, []string{"table", "b", "state", "closed"}},
		{"gabion_table_backups", 2, []string{"table", "a"}},
		{"gabion_commit_duration_seconds", 1, []string{"table", "a"}},
		{"gabion_commit_group_operations", 1, []string{"table", "a"}},
		{"gabion_runs_total", 1, []string{"outcome", "complete"}},
		{"gabion_runs_total", 1, []string{"outcome", "partial"}},
		{"gabion_run_duration_seconds", 2, nil},
		{"gabion_table_backup_outcomes_total", 2, []string{"table", "a", "outcome", "backed_up"}},
		{"gabion_table_backup_outcomes_total", 1, []string{"table", "b", "outcome", "failed"}},
		{"gabion_restores_total", 1, []string{"healed", "false"}},
		{"gabion_restore_duration_seconds", 1, nil},
		{"gabion_build_info", 1, []string{"version", "v1.2.3"}},
	} {
		if got := value(after[c.name], c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if got := value(after["gabion_verifies_total"], "verdict", "proven"); got < 1 {
		t.Errorf("verifies %v", got)
	}
	if got := value(after["gabion_table_last_proof_age_seconds"], "table", "a"); got < 0 || got > 60 {
		t.Errorf("age of the proof %v", got)
	}
	if !math.IsNaN(value(after["gabion_table_rows"], "table", "b")) {
		t.Error("a closed table has rows")
	}
	for _, h := range after["gabion_commit_group_operations"].GetMetric() {
		if h.GetLabel()[0].GetValue() == "a" && h.GetHistogram().GetSampleSum() != 3 {
			t.Errorf("operations of groups %v", h.GetHistogram())
		}
	}
}
