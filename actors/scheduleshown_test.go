package actors_test

import (
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHealthShowsTheSchedule: when a run of all tables last began, and which one left no table failing; to a visitor
// too, once the process is gone.
func TestHealthShowsTheSchedule(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a", "b"}}, func(w *world) {
		health := func() *messages.HealthReport {
			w.Helper()
			w.settle()
			report, err := w.g.Health(w.Context())
			if err != nil || len(report.GetFaults()) > 0 {
				w.Fatalf("health: %v, %v", err, report.GetFaults())
			}
			return report
		}
		w.up()
		if report := health(); report.GetLastAttempt() != nil || report.GetLastSuccess() != nil || report.GetLastSuccessRun() != "" {
			t.Errorf("before the first run: %v, %v, %q", report.GetLastAttempt(), report.GetLastSuccess(), report.GetLastSuccessRun())
		}
		pass(time.Minute)
		first := health()
		begun := w.started()[0]
		if !first.GetLastAttempt().AsTime().Equal(begun) || first.GetLastSuccess().AsTime().Before(begun) ||
			first.GetLastSuccessRun() != first.GetLastRun().GetRunId() || first.GetLastSuccessRun() == "" {
			t.Errorf("after the first run: %v", first)
		}
		// One table alone is no run of all; one that fails is no success.
		w.put("b", "key", "value")
		remove := w.fs.fail(under(backups+"/b", "create", "mkdir"))
		pass(time.Hour)
		if _, err := w.g.Backup(w.Context(), &messages.BackupAll{Tables: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		attempt := time.Now()
		w.backup()
		check := func(who string, report *messages.HealthReport) {
			t.Helper()
			if !report.GetLastAttempt().AsTime().Equal(attempt) || !report.GetLastSuccess().AsTime().Equal(first.GetLastSuccess().AsTime()) ||
				report.GetLastSuccessRun() != first.GetLastRun().GetRunId() || report.GetLastRun().GetRunId() == first.GetLastRun().GetRunId() {
				t.Errorf("after a failure %s is shown %v", who, report)
			}
		}
		check("a client", health())
		remove()
		w.stop()
		served := w.config
		w.config.Visit, w.config.ReadOnly, w.config.DisableSchedule = true, true, true
		w.start()
		check("a visitor", health())
		w.stop()
		w.config = served
		w.up()
		pass(time.Hour) // the retry
		if report := health(); report.GetLastSuccessRun() != report.GetLastRun().GetRunId() || !report.GetLastSuccess().AsTime().After(attempt) ||
			!report.GetLastAttempt().AsTime().Equal(attempt) {
			t.Errorf("after the retry: %v", report)
		}
	})
}
