package actors_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBackupsThatHang are unknown, in yellow, and in red once the last backup that is known of is overdue: counted from that backup, not
// from when the directory began to hang, and also by a start that finds it hanging.
func TestBackupsThatHang(t *testing.T) {
	const concern = "backup is overdue as far as is known, and the backups cannot be looked at"
	for name, restarts := range map[string]bool{"while it runs": false, "from the start on": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{Interval: day, DisableDrill: true, CopyTimeout: time.Minute}, func(h *host) {
				want := func(when string, grade messages.Grade) {
					t.Helper()
					h.settle()
					report := h.report()
					row := report.GetTables()[0]
					if report.GetGrade() != grade || row.GetGrade() != grade || slices.Contains(row.GetConcerns(), concern) != (grade == messages.Grade_GRADE_RED) ||
						row.GetBackupOverdue() != (grade == messages.Grade_GRADE_RED) {
						t.Errorf("%s: %v, %v", when, report.GetConcerns(), row)
					}
					unknown := grade != messages.Grade_GRADE_GREEN
					if unknown != (!row.Knows(messages.Figure_FIGURE_LAST_BACKUP) && !row.Knows(messages.Figure_FIGURE_BACKUPS) && !row.Knows(messages.Figure_FIGURE_LAST_PROOF)) ||
						unknown && (row.GetLastSuccess() != nil || row.GetBackups() != 0) {
						t.Errorf("%s: unknown %v of %v", when, row.GetUnknown(), row)
					}
				}
				h.put("tasks", "key", "value")
				pass(10*day + time.Hour) // the host has run for longer than anything may be old
				h.settle()
				want("before", messages.Grade_GRADE_GREEN)
				if restarts {
					h.stop()
				}
				heal := h.fs.hang(t, func(o fileOp) bool { return strings.HasPrefix(o.path, backups) })
				if restarts {
					h.start()
				} else {
					want("as it begins to hang", messages.Grade_GRADE_YELLOW)
					pass(30 * time.Hour)
					want("after 30 hours", messages.Grade_GRADE_YELLOW)
				}
				pass(20 * time.Hour)
				if !restarts {
					want("after 50 hours", messages.Grade_GRADE_RED)
				}
				pass(30 * time.Hour)
				h.settle()
				if report := h.report(); report.GetGrade() != messages.Grade_GRADE_RED || report.GetTables()[0].GetGrade() != messages.Grade_GRADE_RED {
					t.Errorf("at last: %v", report)
				}
				heal()
				pass(26 * time.Hour)
				want("once it answers", messages.Grade_GRADE_GREEN)
			})
		})
	}
}
