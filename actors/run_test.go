package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	backedUp = messages.Outcome_OUTCOME_BACKED_UP
	carried  = messages.Outcome_OUTCOME_CARRIED_FORWARD
	failed   = messages.Outcome_OUTCOME_FAILED
)

// wantRow wants a row's outcome; of a failed one each part of its reason.
func (h *host) wantRow(row *messages.TableResult, outcome messages.Outcome, reason ...string) {
	h.Helper()
	if row.GetOutcome() != outcome {
		h.Errorf("row = %v, want %v", row, outcome)
		return
	}
	if outcome == failed {
		if row.GetBackupId() != "" || row.GetFailure().GetTable() != row.GetTable() {
			h.Errorf("failed row = %v", row)
		}
		wantText(h.T, row.GetFailure().GetMessage(), reason...)
		return
	}
	if ok, err := h.exists(backups + "/" + row.GetTable() + "/" + row.GetBackupId() + "/manifest.json"); !ok {
		h.Errorf("backup %s of row %v is not there: %v", row.GetBackupId(), row, err)
	}
}

func (h *host) exists(path string) (bool, error) {
	_, err := h.fs.FS.Stat(path)
	return err == nil, err
}

// wantNoStaging wants that no cut lies about.
func (h *host) wantNoStaging() {
	h.Helper()
	if names, err := h.fs.FS.List(dir + "/staging"); err != nil || len(names) != 0 {
		h.Errorf("staging holds %q, %v", names, err)
	}
}

// TestClosedTableIsFailedRow: a run does what it can and names the rest.
func TestClosedTableIsFailedRow(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b", "c"}}, func(h *host) {
		seen := h.events()
		h.put("a", "key", "value")
		if err := h.g.CloseTable(h.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		report, err := h.g.Backup(h.Context(), &messages.BackupAll{Label: "nightly"})
		if err != nil {
			t.Fatal(err)
		}
		h.settle()
		got := rows(report)
		h.wantRow(got["a"], backedUp)
		h.wantRow(got["b"], failed, "closed")
		h.wantRow(got["c"], backedUp)
		if got["b"].GetFailure().GetCode() != messages.Code_CODE_UNAVAILABLE {
			t.Errorf("row = %v", got["b"])
		}
		complete := eventsOf[*messages.BackupComplete](seen)
		if len(complete) != 1 {
			t.Fatalf("%d BackupComplete, want 1", len(complete))
		}
		e, set := complete[0], report.GetSet()
		if e.GetRunId() != set.GetRunId() || e.GetLabel() != "nightly" || e.GetBackupDir() != backups ||
			len(e.GetBackedUp()) != 2 || len(e.GetFailed()) != 1 || e.GetFailed()[0].GetTable() != "b" ||
			e.GetStarted() == nil || e.GetFinished() == nil {
			t.Errorf("event = %v", e)
		}
		if started := eventsOf[*messages.BackupStarted](seen); len(started) != 1 || len(started[0].GetTables()) != 3 {
			t.Errorf("BackupStarted = %v", started)
		}
		if each := eventsOf[*messages.TableBackedUp](seen); len(each) != 3 {
			t.Errorf("TableBackedUp = %v", each)
		}
		list, err := h.g.ListBackups(h.Context())
		if err != nil || len(list.GetSets()) != 1 || !proto.Equal(list.GetSets()[0], set) || len(list.GetBackups()) != 2 {
			t.Errorf("list = %v, %v, want the set of the report", list, err)
		}
		h.wantNoStaging()
	})
}

// TestUnchangedTableIsCarriedForward: a run over tables that have not changed makes no file but its set.
func TestUnchangedTableIsCarriedForward(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		h.put("a", "key", "value")
		first := h.backup()
		before := h.tree(backups)
		second := h.backup()
		for _, name := range []string{"a", "b"} {
			h.wantRow(second[name], carried)
			if second[name].GetBackupId() != first[name].GetBackupId() ||
				second[name].GetManifestSha256() != first[name].GetManifestSha256() || second[name].GetCopiedBytes() != 0 {
				t.Errorf("row = %v, want the first run's backup %v", second[name], first[name])
			}
		}
		var made []string
		for _, path := range h.tree(backups) {
			if !strings.Contains(strings.Join(before, "\n"), path) {
				made = append(made, path)
			}
		}
		if len(made) != 1 || !strings.HasPrefix(made[0], backups+"/sets/") {
			t.Errorf("the second run made %q, want its set alone", made)
		}
		h.put("a", "key", "again")
		third := h.backup()
		h.wantRow(third["a"], backedUp)
		h.wantRow(third["b"], carried)
		h.wantNoStaging()
	})
}

// TestHungCut: an owner that does not answer a cut in time is a failed row. The late cut is removed, and is credited to
// no run: not to its own, and not to the next.
func TestHungCut(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"a", "b"}, CutTimeout: 10 * time.Second}), func(h *host) {
		h.put("a", "key", "value")
		h.put("b", "key", "value")
		gate := make(chan struct{})
		h.middle.set(func(name string, m any) {
			if _, ok := m.(*messages.Cut); ok && name == "a" {
				<-gate
			}
		}, nil)
		begin := time.Now()
		got := h.backup()
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the run took %v", took)
		}
		h.wantRow(got["a"], failed, "10s")
		if got["a"].GetFailure().GetCode() != messages.Code_CODE_DEADLINE_EXCEEDED {
			t.Errorf("row = %v", got["a"])
		}
		h.wantRow(got["b"], backedUp)

		next := h.send(h.g.Coordinator(), &messages.BackupAll{})
		h.settle()
		next.none("the next run")
		h.put("b", "key", "again")
		close(gate)
		h.settle()
		report, ok := next.one("the next run").(*messages.BackupReport)
		if !ok {
			t.Fatalf("the next run = %v", next.answers())
		}
		h.wantRow(rows(report)["a"], backedUp)
		list, err := h.g.ListBackups(h.Context(), "a")
		if err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetRunId() != report.GetSet().GetRunId() {
			t.Errorf("backups of a = %v, %v, want the next run's alone", list.GetBackups(), err)
		}
		h.wantNoStaging()
	})
}

// TestLateCutOfRunningRun: the removal of a late cut leaves the run's other cuts alone.
func TestLateCutOfRunningRun(t *testing.T) {
	config := actors.Config{Tables: []string{"a", "b"}, CutTimeout: 10 * time.Second, CopyTimeout: time.Hour}
	bubble(t, intercepted(config), func(h *host) {
		gate := make(chan struct{})
		h.middle.set(func(name string, m any) {
			if _, ok := m.(*messages.Cut); ok && name == "a" {
				<-gate
			}
		}, nil)
		release := h.fs.hang(h.T, under(backups+"/b", "create"))
		run := h.send(h.g.Coordinator(), &messages.BackupAll{})
		pass(11 * time.Second)
		close(gate) // a's cut is done now, while b's is being copied
		h.settle()
		run.none("run")
		release()
		h.settle()
		report, ok := run.one("run").(*messages.BackupReport)
		if !ok {
			t.Fatalf("run = %v", run.answers())
		}
		h.wantRow(rows(report)["a"], failed)
		h.wantRow(rows(report)["b"], backedUp)
		h.wantNoStaging()
	})
}

// TestHungCopy: a copy that makes no progress is a failed row, and what it left goes when the call returns. The table
// itself never notices.
func TestHungCopy(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, CopyTimeout: 10 * time.Second}, func(h *host) {
		h.put("a", "key", "value")
		release := h.fs.hang(h.T, under(backups+"/a", "write", "sync"))
		begin := time.Now()
		got := h.backup()
		if took := time.Since(begin); took > 12*time.Second {
			t.Errorf("the run took %v", took)
		}
		h.wantRow(got["a"], failed, "no progress for 10s")
		h.wantRow(got["b"], backedUp)
		h.put("a", "more", "value")
		again := h.backup()
		h.wantRow(again["a"], failed)
		h.wantRow(again["b"], carried)
		release()
		h.settle()
		h.wantRow(h.backup()["a"], backedUp)
		names, err := h.fs.FS.List(backups + "/a")
		if err != nil || len(names) != 1 {
			t.Errorf("the backups of a are %q, %v, want one", names, err)
		}
		h.wantNoStaging()
		if n := h.health("a").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d", n)
		}
	})
}

// TestSlowCopy: a copy that makes progress, however slowly, is let finish.
func TestSlowCopy(t *testing.T) {
	bubble(t, actors.Config{CopyTimeout: 10 * time.Second}, func(h *host) {
		h.put("tasks", "key", "value")
		h.fs.on(under(backups+"/tasks", "write"), func(o fileOp) error {
			if strings.Contains(o.path, "/db/") {
				pass(9 * time.Second)
			}
			return nil
		})
		begin := time.Now()
		h.wantRow(h.backup()["tasks"], backedUp)
		if took := time.Since(begin); took < 20*time.Second {
			t.Errorf("the copy took %v: it was not slow", took)
		}
	})
}

// TestHungBackupDisk: a backup directory whose every call hangs fails the rows in time, also before a cut, and does not
// keep the next run from ending.
func TestHungBackupDisk(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, CopyTimeout: 10 * time.Second}, func(h *host) {
		h.put("a", "key", "value")
		release := h.fs.hang(h.T, func(o fileOp) bool { return strings.HasPrefix(o.path, backups) })
		run := h.send(h.g.Coordinator(), &messages.BackupAll{})
		pass(2 * time.Minute)
		h.settle()
		report, ok := run.one("run").(*messages.BackupReport)
		if !ok {
			t.Fatalf("run = %v", run.answers())
		}
		h.wantRow(rows(report)["a"], failed, "10s")
		h.wantRow(rows(report)["b"], failed, "10s")
		if len(report.GetFaults()) == 0 {
			t.Error("the report does not say that the set was not written")
		}
		h.put("a", "more", "value")
		release()
		h.settle()
		h.wantRow(h.backup()["a"], backedUp)
	})
}

// TestFailingBackupDisk fails the rows, freezes no table, and leaves nothing that counts.
func TestFailingBackupDisk(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "rename", "mkdir", "list"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				h.put("tasks", "key", "value")
				repair := h.fs.fail(under(backups, kind))
				h.wantRow(h.backup()["tasks"], failed, "injected fault")
				h.put("tasks", "more", "value")
				repair()
				h.wantRow(h.backup()["tasks"], backedUp)
				if n := h.health("tasks").GetRestarts(); n != 0 {
					t.Errorf("restarts = %d", n)
				}
				names, err := h.fs.FS.List(backups + "/tasks")
				if err != nil || len(names) != 1 {
					t.Errorf("the backups are %q, %v, want one", names, err)
				}
				h.wantNoStaging()
			})
		})
	}
}

// TestFailedLinkIsFailedCut: a cut that cannot link is a failed row, never a copy in the commit path, and freezes nothing.
func TestFailedLinkIsFailedCut(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		repair := h.fs.fail(under(dir+"/staging", "link"))
		h.wantRow(h.backup()["tasks"], failed, "injected fault")
		h.wantNoStaging()
		repair()
		h.wantRow(h.backup()["tasks"], backedUp)
		if n := h.health("tasks").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d", n)
		}
	})
}

// TestFailingTableKeepsItsBackups over many runs, while the others rotate.
func TestFailingTableKeepsItsBackups(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, Keep: 2}, func(h *host) {
		for i := range 3 {
			h.put("a", "key", fmt.Sprint(i))
			h.put("b", "key", fmt.Sprint(i))
			h.backup()
		}
		if err := h.g.CloseTable(h.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		kept := h.tree(backups + "/a")
		for i := range 20 { // all of them in the same instant: no time passes in the bubble
			h.put("b", "key", fmt.Sprint("again", i))
			got := h.backup()
			h.wantRow(got["a"], failed)
			h.wantRow(got["b"], backedUp)
		}
		if got := h.tree(backups + "/a"); fmt.Sprint(got) != fmt.Sprint(kept) {
			t.Errorf("the backups of the failing table changed from %q to %q", kept, got)
		}
		names, err := h.fs.FS.List(backups + "/b")
		if err != nil || len(names) != 2 || !strings.HasPrefix(max(names[0], names[1]), "000023_") {
			t.Errorf("the backups of b are %q, %v, want numbers 22 and 23", names, err)
		}
		if n := h.health("a").GetBackups(); n != 2 {
			t.Errorf("health counts %d backups of a, want 2", n)
		}
		// Also when retention would leave fewer of them, were it to look.
		h.stop()
		h.config.Keep = 1
		h.start()
		if err := h.g.CloseTable(h.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		h.wantRow(h.backup()["a"], failed)
		if n := h.health("a").GetBackups(); n != 2 {
			t.Errorf("health counts %d backups of a, want 2", n)
		}
		if err := h.g.OpenTable(h.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		h.wantRow(h.backup()["a"], carried)
		if n := h.health("a").GetBackups(); n != 1 {
			t.Errorf("health counts %d backups of a, want 1", n)
		}
	})
}

// TestRunOfUnknownTables is refused whole.
func TestRunOfUnknownTables(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		_, err := h.g.BackupAll(h.Context(), "tasks", "nowhere", "neither")
		if !errors.Is(err, messages.ErrNotFound) || len(messages.Hints(err)) == 0 {
			t.Fatalf("backup = %v", err)
		}
		wantText(t, err.Error(), "nowhere", "neither")
		if list, err := h.g.ListBackups(h.Context()); err != nil || len(list.GetSets()) != 0 || len(list.GetBackups()) != 0 {
			t.Errorf("list = %v, %v, want nothing", list, err)
		}
	})
}
