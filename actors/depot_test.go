package actors_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// refuse fails the calls that match with an error of the operating system.
func (h *hookFS) refuse(match func(fileOp) bool, cause error) (remove func()) {
	return h.on(match, func(o fileOp) error { return &os.PathError{Op: o.kind, Path: o.path, Err: cause} })
}

// changing are the kinds of calls that a disk which is mounted for reading only refuses.
var changing = []string{"create", "reuse", "write", "lock", "link", "rename", "remove", "removeall", "mkdir"}

// unusable are the ways in which a backup directory cannot be used, or not be written.
var unusable = map[string]func(h *host) (remove func()){
	"full, without its LOCK": func(h *host) func() {
		h.fs.usage.Store(nil)
		return h.fs.refuse(under(backups, "create", "reuse", "write", "lock", "link", "mkdir"), syscall.ENOSPC)
	},
	"read-only":      func(h *host) func() { return h.fs.refuse(under(backups, changing...), syscall.EROFS) },
	"another user's": func(h *host) func() { return h.fs.refuse(under(backups, append(changing, "list")...), syscall.EACCES) },
	"failing":        func(h *host) func() { return h.fs.refuse(under(backups, "list", "open", "opendir"), syscall.EIO) },
	"missing, and not to be made": func(h *host) func() {
		if err := h.fs.FS.Rename(backups, "/away"); err != nil {
			h.Fatal(err)
		}
		back := h.fs.refuse(under(backups, "mkdir"), syscall.EEXIST) // a link that leads nowhere
		return func() {
			back()
			if err := h.fs.FS.Rename("/away", backups); err != nil {
				h.Fatal(err)
			}
		}
	},
	"not a Gabion's any more": func(h *host) func() {
		if err := h.fs.FS.Rename(backups+"/gabion.json", "/away"); err != nil {
			h.Fatal(err)
		}
		return func() {
			if err := h.fs.FS.Rename("/away", backups+"/gabion.json"); err != nil {
				h.Fatal(err)
			}
		}
	},
}

// TestUnusableBackups: whatever is wrong with the backup directory, the tables are served, runs fail with the reason, and health is
// red. Once it can be used again the next run uses it.
func TestUnusableBackups(t *testing.T) {
	for what, break_ := range unusable {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				h.put("tasks", "k", "v")
				h.backup()
				h.stop()
				mend := break_(h)
				h.start()
				h.wantState("tasks", open)
				h.put("tasks", "k", "w")
				h.wantValue("tasks", "k", "w")
				row := h.backup()["tasks"]
				if row.GetOutcome() != messages.Outcome_OUTCOME_FAILED || len(row.GetFailure().GetHint()) == 0 {
					t.Errorf("row of a run = %v", row)
				}
				report, err := h.g.Health(h.Context())
				if err != nil || report.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(strings.Join(report.GetConcerns(), "\n"), "backup directory /data/backups cannot be used: ") {
					t.Errorf("health = %v %q, %v", report.GetGrade(), report.GetConcerns(), err)
				}
				if report.GetTables()[0].GetState() != open {
					t.Errorf("table is %v", report.GetTables()[0].GetState())
				}
				mend()
				pass(2 * time.Second)
				if row := h.backup()["tasks"]; row.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP {
					t.Errorf("row of a run once the directory can be used = %v", row)
				}
				if report, err := h.g.Health(h.Context()); err != nil || report.GetGrade() != messages.Grade_GRADE_GREEN || report.GetTables()[0].GetBackups() != 2 {
					t.Errorf("health = %v %q, %d backups, %v", report.GetGrade(), report.GetConcerns(), report.GetTables()[0].GetBackups(), err)
				}
			})
		})
	}
}

// TestHungBackupsAtStart: a backup disk that does not answer holds up a start for a moment, and no table.
func TestHungBackupsAtStart(t *testing.T) {
	for what, match := range map[string]func(fileOp) bool{
		"LOCK":        under(backups+"/LOCK", "lock"),
		"gabion.json": under(backups+"/gabion.json", "open"),
		"list":        under(backups, "list"),
		"all":         under(backups, append(changing, "list", "open", "opendir", "stat")...),
	} {
		t.Run(what, func(t *testing.T) {
			stoppedBubble(t, actors.Config{}, func(h *host) {
				h.start()
				h.put("tasks", "k", "v")
				h.backup()
				h.stop()
				answer := h.fs.hang(h.T, match)
				begin := time.Now()
				h.start()
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("start took %v", took)
				}
				h.put("tasks", "k", "w")
				if report, err := h.g.Health(h.Context()); err != nil || report.GetGrade() != messages.Grade_GRADE_RED {
					t.Errorf("health = %v %q, %v", report.GetGrade(), report.GetConcerns(), err)
				}
				answer()
				h.settle()
				pass(2 * time.Second)
				if row := h.backup()["tasks"]; row.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP {
					t.Errorf("row of a run once the disk answers = %v", row)
				}
			})
		})
	}
}

// TestStopBesideHungBackups: Stop ends with its context while the backup directory is being opened, and gives it free later.
func TestStopBesideHungBackups(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		h.start()
		h.stop()
		answer := h.fs.hang(h.T, under(backups+"/LOCK", "lock"))
		h.start()
		g := h.g
		h.g = nil
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := g.Stop(ctx); err == nil || len(messages.Hints(err)) == 0 {
			t.Errorf("stop = %v", err)
		}
		answer()
		h.settle()
		h.start()
		if _, err := h.fs.FS.Stat(backups + "/owner.json"); err != nil {
			t.Errorf("the backup directory is not held: %v", err)
		}
	})
}

// TestNewDirectoryNeedsItsBackups: where nothing is served yet, a start fails beside a backup directory that cannot be
// used, and makes nothing. The backups of missing tables may be there.
func TestNewDirectoryNeedsItsBackups(t *testing.T) {
	for what, break_ := range map[string]func(h *host) func(){
		"failing":  func(h *host) func() { return h.fs.refuse(under("/mnt", "list", "stat"), syscall.EIO) },
		"unmapped": func(h *host) func() { return func() {} },
	} {
		t.Run(what, func(t *testing.T) {
			stoppedBubble(t, actors.Config{BackupDir: "/mnt/backups"}, func(h *host) {
				break_(h)
				if _, err := actors.Start(h.Context(), h.system, h.config); err == nil || len(messages.Hints(err)) == 0 && !errors.Is(err, syscall.EIO) {
					t.Errorf("start = %v", err)
				}
				if _, err := h.fs.FS.Stat(dir); err == nil {
					t.Error("the directory was made")
				}
			})
		})
	}
}
