package actors_test

import (
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHealthNamesEveryTable: open ones with what they hold, the others with why not, and zeros.
func TestHealthNamesEveryTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"closed", "lost", "open"}}, func(h *host) {
		h.put("open", "key", "value")
		h.put("closed", "key", "value")
		h.put("lost", "key", "value")
		h.backup()
		h.stop()
		if err := h.fs.FS.RemoveAll(dir + "/tables/lost"); err != nil {
			t.Fatal(err)
		}
		if err := h.fs.FS.MkdirAll(dir+"/tables/stranger/01ARZ3NDEKTSV4RRFFQ69G5FAV", 0o755); err != nil {
			t.Fatal(err)
		}
		h.start()
		if err := h.g.CloseTable(h.Context(), "closed"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		run := h.backup()
		report, err := h.g.Health(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(report.GetTables()) != 3 || report.GetDir() != dir || report.GetBackupDir() != backups || len(report.GetFaults()) != 0 {
			t.Errorf("report = %v", report)
		}
		if u := report.GetUnconfigured(); len(u) != 1 || u[0] != "stranger" {
			t.Errorf("unconfigured = %v", u)
		}
		for i, want := range []struct {
			name  string
			state messages.TableState
			count uint64
		}{{"closed", closed, 0}, {"lost", quarantined, 0}, {"open", open, 1}} {
			row := report.GetTables()[i]
			if row.GetTable() != want.name || row.GetState() != want.state || row.GetCount() != want.count || row.GetBackups() != 1 {
				t.Errorf("row %d = %v, want %v", i, row, want)
			}
			if row.GetLastAttempt() == nil || row.GetLastSuccess() == nil {
				t.Errorf("row %d = %v, want an attempt and a success", i, row)
			}
			// The failed tables tried again after their last success.
			tried := row.GetLastAttempt().AsTime().After(row.GetLastSuccess().AsTime())
			if failing := run[want.name].GetOutcome() == failed; tried != failing {
				t.Errorf("row %d = %v", i, row)
			}
			if want.state == open {
				if !row.GetCountExact() || row.GetLiveBytes() != 8 || row.GetDiskBytes() == 0 || row.GetReason() != "" {
					t.Errorf("open row = %v", row)
				}
				if f := row.GetFragmentation(); row.Fragmentation != nil && (f < 0 || f > 1) {
					t.Errorf("fragmentation = %v", f)
				}
				continue
			}
			if row.GetReason() == "" || row.GetHint() == "" || row.GetLiveBytes() != 0 || row.GetDiskBytes() != 0 || row.Fragmentation != nil {
				t.Errorf("row of a table that does not serve = %v, want a reason, a hint and zeros", row)
			}
		}
	})
}

// TestHealthBesideHungDisk answers within its limits, whatever hangs, and names what it could not learn.
func TestHealthBesideHungDisk(t *testing.T) {
	for what, match := range map[string]func(fileOp) bool{
		"wal":     walSync("tasks"),
		"table":   under(dir+"/tables/tasks", "open", "read", "write", "sync", "create", "stat", "list"),
		"backups": under(backups, "open", "stat", "list"),
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
				h.put("tasks", "key", "value")
				h.backup()
				release := h.fs.hang(h.T, match)
				for range 3 {
					h.send(h.pid("tasks"), put("key", "again"))
				}
				h.settle()
				begin := time.Now()
				report, err := h.g.Health(h.Context())
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took > 10*time.Second {
					t.Errorf("health took %v", took)
				}
				if len(report.GetTables()) != 2 || report.GetTables()[0].GetState() != open {
					t.Errorf("report = %v", report)
				}
				if wantFault := what != "wal"; (len(report.GetFaults()) == 1) != wantFault {
					t.Errorf("faults = %v", report.GetFaults())
				}
				release()
				h.settle()
				if report, err := h.g.Health(h.Context()); err != nil || len(report.GetFaults()) != 0 {
					t.Errorf("health after the hang = %v, %v", report, err)
				}
			})
		})
	}
}

// TestHealthBeforeFirstRun has no attempt, no success and no last run.
func TestHealthBeforeFirstRun(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		report, err := h.g.Health(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		row := report.GetTables()[0]
		if row.GetLastAttempt() != nil || row.GetLastSuccess() != nil || row.GetBackups() != 0 || report.GetLastRun() != nil {
			t.Errorf("report = %v", report)
		}
	})
}
