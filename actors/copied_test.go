package actors_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// shared is the backup directory that copies of a directory have in common, otherDir where the copy is that does not run.
const (
	shared   = "/backups"
	otherDir = "/other"
)

// fork copies the directory as it is on the disk now.
func (h *host) fork() {
	h.Helper()
	h.settle()
	if ok, err := vfs.Clone(h.fs.FS, h.fs.FS, dir, otherDir); !ok || err != nil {
		h.Fatal(ok, err)
	}
	if err := h.fs.FS.Remove(otherDir + "/LOCK"); err != nil {
		h.Fatal(err)
	}
}

// swap stops the copy that runs, and starts the other one.
func (h *host) swap() {
	h.Helper()
	h.stop()
	h.exchange()
	h.start()
}

// exchange has the two directories change places. Nobody uses them.
func (h *host) exchange() {
	h.Helper()
	fs := h.fs.FS
	if err := errors.Join(fs.Rename(dir, "/aside"), fs.Rename(otherDir, dir), fs.Rename("/aside", otherDir)); err != nil {
		h.Fatal(err)
	}
}

// wantRefused wants a run to be refused, with the same words in health, while the tables are served.
func (h *host) wantRefused(part string) {
	h.Helper()
	heard := h.events()
	_, err := h.g.BackupAll(h.Context())
	failure := messages.FailureOf(err)
	if !errors.Is(err, messages.ErrNotAdopted) || failure.GetCode() != messages.Code_CODE_FAILED_PRECONDITION ||
		!strings.Contains(err.Error(), part) || !strings.Contains(failure.GetHint(), "--adopt") {
		h.Errorf("run: %v, hint %q", err, failure.GetHint())
	}
	ended := eventsOf[*messages.BackupComplete](heard)
	if len(ended) != 1 || len(ended[0].GetFailed()) != len(h.config.Tables) || len(ended[0].GetBackedUp()) != 0 ||
		!ended[0].GetFailed()[0].GetFailure().GetNotAdopted() {
		h.Errorf("events: %v", ended)
	}
	report := h.report()
	if report.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(report.GetConcerns()[0], part) || report.GetLastRun() != nil {
		h.Errorf("health is %v: %q, last run %v", report.GetGrade(), report.GetConcerns(), report.GetLastRun().GetRunId())
	}
	for _, row := range report.GetTables() {
		if row.GetBackups() != 0 || row.GetState() != open || row.GetLastProof() != nil {
			h.Errorf("row is %v", row)
		}
	}
	h.put("tasks", "served", "all the while")
}

// adopt backs up and makes the backup directory this copy's.
func (h *host) adopt() *messages.TableResult {
	h.Helper()
	report, err := h.g.Backup(h.Context(), &messages.BackupAll{Adopt: true})
	if err != nil || len(report.GetFaults()) > 0 {
		h.Fatalf("adopt: %v, %v", report, err)
	}
	return rows(report)["tasks"]
}

// TestCopiedDirectory: of two copies of a directory that share a backup directory, the second one to run is refused, until it
// adopts the backups. Each then backs up its own rows, carries nothing of the other one forward, and is restored from its own.
func TestCopiedDirectory(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared, Keep: 20}, func(h *host) {
		h.put("tasks", "common", "v")
		h.backup()
		h.fork()
		h.put("tasks", "whose", "first")
		first := h.backup()["tasks"]
		h.swap()
		h.put("tasks", "whose", "second") // at the very position of the first one's
		h.wantRefused("these backups are of another copy of this directory")
		list, err := h.g.ListBackups(h.Context())
		if err != nil || len(list.GetBackups()) != 2 || !list.GetBackups()[0].GetOtherCopy() || !list.GetSetStatus()[0].GetOtherCopy() {
			t.Errorf("list: %v, %v", list, err)
		}
		if _, err := h.g.RestoreTable(h.Context(), "tasks"); !errors.Is(err, messages.ErrNotFound) {
			t.Errorf("restore without a name: %v", err)
		}
		second := h.adopt()
		if second.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP || second.GetCopiedBytes() != second.GetBytes() {
			t.Errorf("row is %v", second)
		}
		if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN || report.GetTables()[0].GetBackups() != 1 {
			t.Errorf("health is %v: %q, %d backups", report.GetGrade(), report.GetConcerns(), report.GetTables()[0].GetBackups())
		}
		if row := h.adopt(); row.GetOutcome() != messages.Outcome_OUTCOME_CARRIED_FORWARD || row.GetBackupId() != second.GetBackupId() {
			t.Errorf("row of an unchanged table is %v", row)
		}
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "whose", "second")

		h.swap()
		h.wantRefused("another copy")
		third := h.adopt()
		h.put("tasks", "whose", "nobody")
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "whose", "first")
		r := h.restore(&messages.RestoreTable{Table: "tasks", BackupId: second.GetBackupId()}).GetRestored()
		h.wantValue("tasks", "whose", "second")
		if third.GetBackupId() == first.GetBackupId() || r.GetLostFrom() != 1 {
			t.Errorf("third is %v, lost from %d: nobody knows where the two have parted", third, r.GetLostFrom())
		}
	})
}

// TestCopyBehind: a copy that is behind what the other one has backed up has lost nothing, refused or adopted. It was not
// stopped, so that its open asks the backups how far the table had come.
func TestCopyBehind(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "common", "v")
		h.backup()
		h.fork()
		for range 9 {
			h.put("tasks", "k", "v")
		}
		h.backup()
		h.swap()
		h.wantState("tasks", open)
		h.put("tasks", "k", "w")
		h.adopt()
		h.stop()
		h.start()
		h.wantState("tasks", open)
		h.wantValue("tasks", "k", "w")
	})
}

// TestHealPassesOverOtherCopies: a table that is short of its mark is healed from its own files, though another copy's backup is ahead.
func TestHealPassesOverOtherCopies(t *testing.T) {
	for _, adopts := range []bool{false, true} {
		bubble(t, actors.Config{BackupDir: shared, SelfHeal: true}, func(h *host) {
			h.put("tasks", "common", "v")
			h.backup()
			h.fork()
			h.shorten(1) // common and the four of shorten, of which a and b are left
			h.exchange()
			h.start()
			for range 9 {
				h.put("tasks", "k", "other")
			}
			h.adopt()
			h.stop()
			h.exchange()
			if adopts {
				h.config.Tables = []string{"idle"}
				h.start()
				if _, err := h.g.Backup(h.Context(), &messages.BackupAll{Adopt: true}); err != nil {
					t.Fatal(err)
				}
				h.stop()
				h.config.Tables = []string{"tasks"}
			}
			h.start()
			pass(time.Minute)
			h.settle()
			all := h.restored()
			if len(all) != 1 || all[0].GetSource() != "live" || all[0].GetLostFrom() != 4 || all[0].GetLostTo() != 5 {
				t.Errorf("adopts %v: restored %v", adopts, all)
			}
			h.wantValue("tasks", "b", "v")
			h.wantValue("tasks", "k", "")
		})
	}
}

// TestRedOfOtherCopy: a backup of another copy that turns red has nothing backed up anew, and is no concern.
func TestRedOfOtherCopy(t *testing.T) {
	bubble(t, drilling(actors.Config{BackupDir: shared}), func(h *host) {
		h.put("tasks", "common", strings.Repeat("v", 5000))
		h.backup()
		h.fork()
		h.put("tasks", "whose", "first")
		red := h.backup()["tasks"].GetBackupId()
		h.swap()
		own := h.adopt().GetBackupId()
		pass(time.Minute)
		h.settle()
		h.damage(h.sstable(shared + "/tasks/" + red + "/db"))
		pass(25 * time.Hour)
		h.settle()
		list, err := h.g.ListBackups(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list.GetBackups() {
			if b.GetBackupId() == red && b.GetProof().GetVerdict() != messages.Verdict_VERDICT_RED {
				t.Errorf("the damaged backup is %v", b)
			}
		}
		if newest := list.GetBackups()[0]; newest.GetBackupId() != own {
			t.Errorf("newest is %v", newest)
		}
		if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health is %v: %q", report.GetGrade(), report.GetConcerns())
		}
	})
}

// TestEmptyBackupDir: where a directory has been backed up, an empty backup directory is refused: its disk may not be mounted. What
// is put back counts at once.
func TestEmptyBackupDir(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.Rename(shared, "/unmounted"); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.wantRefused("backup directory /backups does not have the backups of this directory, which was backed up there last")
		h.stop()
		if err := errors.Join(h.fs.RemoveAll(shared), h.fs.FS.Rename("/unmounted", shared)); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.backup()
		if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health is %v: %q", report.GetGrade(), report.GetConcerns())
		}
		h.stop()
		if err := h.fs.RemoveAll(shared); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.wantRefused("backed up there last")
		h.adopt()
		h.backup()
		if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health is %v: %q", report.GetGrade(), report.GetConcerns())
		}
	})
}

// TestMadeAnew: a directory that is made anew for its backups goes on with them, and the one that comes back is refused.
func TestMadeAnew(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.Rename(dir, otherDir); err != nil {
			t.Fatal(err)
		}
		h.config.CreateEmpty = true
		h.start()
		if report := h.report(); report.GetGrade() == messages.Grade_GRADE_RED {
			t.Errorf("health is %v: %q", report.GetGrade(), report.GetConcerns())
		}
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "k", "v")
		h.backup()
		h.config.CreateEmpty = false
		h.swap()
		h.wantRefused("another copy")
	})
}

// TestScheduledRunIsRefused: the schedule tries again, and goes on once the backups are adopted.
func TestScheduledRunIsRefused(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared, Interval: time.Hour}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.Rename(shared, "/unmounted"); err != nil {
			t.Fatal(err)
		}
		h.start()
		heard := h.events()
		pass(3 * time.Hour)
		ended := eventsOf[*messages.BackupComplete](heard)
		if len(ended) < 3 || len(ended) > 20 || len(ended[2].GetFailed()) != 1 {
			t.Errorf("%d runs: %v", len(ended), ended)
		}
		h.adopt()
		pass(2 * time.Hour)
		if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health is %v: %q", report.GetGrade(), report.GetConcerns())
		}
	})
}

// TestRunWithoutToken: a directory that cannot take a token does not keep its tables from being backed up, and the report says so.
func TestRunWithoutToken(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.put("tasks", "k", "w")
		heal := h.fs.on(under(dir+"/backup_dirs.json.aside", "create"), func(fileOp) error { return errInjected })
		report, err := h.g.BackupAll(h.Context())
		if err != nil || rows(report)["tasks"].GetFailure() != nil {
			t.Fatalf("run: %v, %v", report, err)
		}
		wantText(t, strings.Join(report.GetFaults(), "\n"), "what tells copies of the directory apart is not up to date", "injected fault")
		heal()
		if report, err := h.g.BackupAll(h.Context()); err != nil || len(report.GetFaults()) > 0 {
			t.Errorf("run: %v, %v", report, err)
		}
	})
}

// TestAdoptingSharesNoRun: who asks to adopt does not share a run with those who do not.
func TestAdoptingSharesNoRun(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.Rename(shared, "/unmounted"); err != nil {
			t.Fatal(err)
		}
		h.start()
		var answers []*sender
		for _, adopt := range []bool{false, false, true} {
			answers = append(answers, h.send(h.g.Coordinator(), &messages.BackupAll{Adopt: adopt}))
		}
		h.settle()
		for i, s := range answers {
			if _, adopted := s.one("it").(*messages.BackupReport); adopted != (i == 2) {
				t.Errorf("answer %d is %v", i, s.one("it"))
			}
		}
	})
}

// TestLostScheduleOfCopy: a schedule that is lost is not made anew from the sets of another copy.
func TestLostScheduleOfCopy(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared, Interval: 24 * time.Hour}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.fork()
		pass(time.Hour)
		h.backup()
		h.stop()
		h.exchange()
		if err := h.fs.FS.Remove(dir + "/schedule.json"); err != nil {
			t.Fatal(err)
		}
		h.start()
		if last := h.report().GetLastSuccess(); last != nil {
			t.Errorf("last success was %v", last.AsTime())
		}
	})
}

// TestMendPassesOverOtherCopies: no hole of a table is filled with rows that another copy has backed up.
func TestMendPassesOverOtherCopies(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, noise(key))
		}
		if err := errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks")); err != nil {
			t.Fatal(err)
		}
		h.fork()
		h.backup()
		path := h.lineage("tasks")
		h.stop()
		h.exchange()
		h.damageValue(path, ".sst", noise("b")[1000:1100])
		h.start()
		r := h.restore(&messages.RestoreTable{Table: "tasks", Live: true})
		if r.GetPlan().GetMendedBy() != "" || r.GetPlan().GetRowsMissing() != 1 {
			t.Errorf("plan %v", r.GetPlan())
		}
	})
}
