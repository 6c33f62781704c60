package actors_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// leaps runs a Gabion on one file system three times: with a right clock, with a clock that is a year ahead, and with a
// right clock again. The first two back up table tasks and prove the backups; the second drops table gone.
func leaps(t *testing.T, config actors.Config, after func(h *host)) {
	t.Helper()
	fs := vfs.NewMem()
	config.Tables = []string{"gone", "tasks"}
	life := func(config actors.Config, begin time.Duration, test func(h *host)) {
		config.FS = fs
		stoppedBubble(t, config, func(h *host) {
			pass(begin)
			h.start()
			test(h)
		})
	}
	run := func(value string) func(h *host) {
		return func(h *host) {
			h.put("tasks", "key", value)
			h.backup()
			pass(2 * time.Minute)
			h.settle()
		}
	}
	life(config, 0, func(h *host) {
		run("first")(h)
		h.stop()
	})
	life(config, 365*day, func(h *host) {
		run("second")(h)
		if err := h.g.DropTable(h.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		h.stop()
	})
	config.Tables = []string{"tasks"}
	life(config, time.Hour, after) // each bubble begins at the same time
}

// TestClockAheadForOneRun: what that run left is dated in the future. It is yellow, no age of it is shown, and it puts
// nothing off. The run comes soon, and takes a new backup of the unchanged table; the drill proves anew.
func TestClockAheadForOneRun(t *testing.T) {
	leaps(t, drilling(actors.Config{Interval: day}), func(h *host) {
		begin := time.Now()
		report := h.report()
		row := report.GetTables()[0]
		if report.GetGrade() != messages.Grade_GRADE_YELLOW || !row.GetLastSuccess().AsTime().Before(begin) || !row.GetLastAttempt().AsTime().Before(begin) || !row.GetLastProof().AsTime().Before(begin) {
			t.Errorf("report = %v", report)
		}
		for _, want := range []string{"last attempt of the schedule is dated in the future", "last success of the schedule is dated in the future",
			"last run is dated in the future", "newest backup is dated in the future (tasks)", "a proof is dated in the future (tasks)"} {
			if !slices.Contains(report.GetConcerns(), want) {
				t.Errorf("concerns %q, want %q", report.GetConcerns(), want)
			}
		}
		if report.GetLastAttempt() != nil || report.GetLastSuccess() != nil || report.GetLastSuccessRun() != "" || report.Knows(messages.Figure_FIGURE_SCHEDULE) || report.Knows(messages.Figure_FIGURE_LAST_BACKUP) {
			t.Errorf("the schedule shows a time of the future: %v", report)
		}
		pass(2 * time.Minute) // soon
		h.settle()
		report = h.report()
		row = report.GetTables()[0]
		if report.GetGrade() != messages.Grade_GRADE_GREEN || row.GetLastSuccess().AsTime().Before(begin) || row.GetLastProof().AsTime().Before(begin) {
			t.Errorf("two minutes later: %v", report)
		}
		if got := report.GetLastRun().GetResults()[0].GetOutcome(); got != backedUp {
			t.Errorf("the run %v what is dated in the future", got)
		}
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list.GetBackups() {
			if b.GetProof() == nil || messages.AheadOf(b.GetProof().GetFinished(), time.Now()) {
				t.Errorf("backup %v has proof %v", b.GetBackupId(), b.GetProof())
			}
		}
		if u := report.GetUndo(); len(u) != 1 || u[0].GetSince() != nil || u[0].GetUntil().AsTime().Sub(begin) > 8*day || u[0].GetUntil().AsTime().Before(begin.Add(6*day)) {
			t.Errorf("undo = %v", u)
		}
	})
}

// TestOverdueBesideTheFuture: a backup and a proof of the future are not young. They are overdue by the last time that holds, or,
// without one, by the time since the start.
func TestOverdueBesideTheFuture(t *testing.T) {
	leaps(t, drilling(actors.Config{Interval: day}), func(h *host) {
		defer h.fs.on(func(o fileOp) bool {
			return o.kind == "mkdir" && strings.HasPrefix(o.path, backups+"/tasks/.pending-")
		}, func(fileOp) error { return syscall.EIO })()
		defer h.fs.on(sstables("tasks"), func(fileOp) error { return syscall.EMFILE })()
		pass(46 * time.Hour)
		h.settle()
		if row := h.health("tasks"); row.GetBackupOverdue() || row.GetProofOverdue() {
			t.Errorf("before two days are over: %v", row)
		}
		pass(3 * time.Hour)
		h.settle()
		if row := h.health("tasks"); !row.GetBackupOverdue() || !row.GetProofOverdue() {
			t.Errorf("after them: %v", row)
		}
	})
}
