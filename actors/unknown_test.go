package actors_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestUnknownIsYellow: what health cannot find out is named as unknown, in the report or the row, and neither is green.
// Once it is known again both are.
func TestUnknownIsYellow(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails func(fileOp) bool
		hangs bool
		// of the report, and of the row of table tasks.
		report, row []messages.Figure
		// concerns of the report begin with each of these.
		concerns []string
		grade    messages.Grade
	}{
		{name: "backup directory cannot be listed", fails: under(backups, "list"),
			report: []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			row: []messages.Figure{messages.Figure_FIGURE_BACKUPS, messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_PROOF,
				messages.Figure_FIGURE_LAST_RUN},
			concerns: []string{"backup directory /data/backups cannot be read", "list sets: ", "backups and proofs are unknown (other, tasks)"},
			grade:    messages.Grade_GRADE_RED},
		{name: "backup directory hangs", fails: under(backups, "list"), hangs: true,
			report: []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			row: []messages.Figure{messages.Figure_FIGURE_BACKUPS, messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_PROOF,
				messages.Figure_FIGURE_LAST_RUN},
			concerns: []string{"list backups: no answer in 5s", "backups and proofs are unknown (other, tasks)"}, grade: messages.Grade_GRADE_YELLOW},
		{name: "one table's backups cannot be listed", fails: func(o fileOp) bool { return o.kind == "list" && o.path == backups+"/tasks" },
			row:      []messages.Figure{messages.Figure_FIGURE_BACKUPS, messages.Figure_FIGURE_LAST_PROOF},
			concerns: []string{`list backups of table "tasks": `, "backups and proofs are unknown (tasks)"}, grade: messages.Grade_GRADE_YELLOW},
		{name: "sets cannot be listed", fails: under(backups+"/sets", "list"),
			report:   []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			row:      []messages.Figure{messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_RUN},
			concerns: []string{"list sets: ", "time of the last backup is unknown (other, tasks)"}, grade: messages.Grade_GRADE_YELLOW},
		{name: "newest set cannot be read", fails: under(backups+"/sets", "open", "read"),
			report:   []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			row:      []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			concerns: []string{"read set "}, grade: messages.Grade_GRADE_YELLOW},
		{name: "manifests and sets cannot be read", fails: func(o fileOp) bool {
			return o.kind == "open" && (strings.HasSuffix(o.path, "/manifest.json") || strings.HasPrefix(o.path, backups+"/sets/"))
		},
			report:   []messages.Figure{messages.Figure_FIGURE_LAST_RUN},
			row:      []messages.Figure{messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_PROOF, messages.Figure_FIGURE_LAST_RUN},
			concerns: []string{"newest backup ", "read set ", "time of the last backup is unknown (other, tasks)"}, grade: messages.Grade_GRADE_RED},
		{name: "proofs cannot be read", fails: under(backups+"/tasks/proofs", "open", "read"),
			row:      []messages.Figure{messages.Figure_FIGURE_LAST_PROOF},
			concerns: []string{"newest backup ", "time of the last proof is unknown (tasks)"}, grade: messages.Grade_GRADE_RED},
		{name: "tables on disk cannot be listed", fails: func(o fileOp) bool { return o.kind == "list" && o.path == dir+"/tables" },
			report:   []messages.Figure{messages.Figure_FIGURE_UNCONFIGURED, messages.Figure_FIGURE_UNDO},
			concerns: []string{"list tables on disk: "}, grade: messages.Grade_GRADE_YELLOW},
		{name: "undo cannot be read", fails: func(o fileOp) bool { return o.kind == "list" && o.path == dir+"/tables/tasks" },
			report:   []messages.Figure{messages.Figure_FIGURE_UNDO},
			concerns: []string{"list tables on disk: "}, grade: messages.Grade_GRADE_YELLOW},
		{name: "schedule cannot be written", fails: under(dir+"/schedule.json.aside", "create"),
			concerns: []string{"write schedule: "}, grade: messages.Grade_GRADE_YELLOW},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, drilling(actors.Config{Tables: []string{"tasks", "other"}, Interval: day}), func(h *host) {
				h.put("tasks", "key", "value")
				h.backup()
				pass(2 * time.Minute) // proven
				h.settle()
				report := h.report()
				if report.GetGrade() != messages.Grade_GRADE_GREEN || len(report.GetConcerns()) > 0 || len(report.GetUnknown()) > 0 {
					t.Fatalf("before: %v", report)
				}
				var heal func()
				if c.hangs {
					heal = h.fs.hang(h.T, c.fails)
				} else {
					heal = h.fs.on(c.fails, func(fileOp) error { return syscall.EIO })
				}
				if strings.HasPrefix(c.name, "schedule") {
					h.backup()
				}
				report = h.report()
				row := report.GetTables()[1]
				if report.GetGrade() != c.grade || !slices.Equal(report.GetUnknown(), c.report) {
					t.Errorf("report is %v, unknown %v: %v", report.GetGrade(), report.GetUnknown(), report.GetConcerns())
				}
				if !slices.Equal(row.GetUnknown(), c.row) || len(c.row) > 0 && row.GetGrade() == messages.Grade_GRADE_GREEN {
					t.Errorf("row = %v, want unknown %v", row, c.row)
				}
				for _, want := range c.concerns {
					if !slices.ContainsFunc(report.GetConcerns(), func(got string) bool {
						return strings.HasPrefix(got, want)
					}) {
						t.Errorf("concerns %q, want %q", report.GetConcerns(), want)
					}
				}
				if !row.Knows(messages.Figure_FIGURE_LAST_BACKUP) && row.GetLastSuccess() != nil || !row.Knows(messages.Figure_FIGURE_BACKUPS) && slices.Contains(row.GetConcerns(), "no backup yet") {
					t.Errorf("row shows what it does not know: %v", row)
				}
				heal()
				h.settle()
				h.backup()
				pass(2 * time.Minute)
				h.settle()
				if report := h.report(); report.GetGrade() != messages.Grade_GRADE_GREEN || len(report.GetUnknown()) > 0 {
					t.Errorf("after: %v", report)
				}
			})
		})
	}
}

// TestUnknownStatisticsAreYellow: of a table that a reader opened, whose files cannot be read.
func TestUnknownStatisticsAreYellow(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		h.backup()
		h.stop()
		h.config.ReadOnly = true
		h.start()
		heal := h.fs.on(sstablesOf("tasks"), func(fileOp) error { return syscall.EIO })
		row := h.health("tasks")
		if row.Knows(messages.Figure_FIGURE_DISK) || row.GetGrade() != messages.Grade_GRADE_YELLOW || len(row.GetConcerns()) != 1 ||
			!strings.HasPrefix(row.GetConcerns()[0], "statistics are unknown: ") {
			t.Errorf("row = %v", row)
		}
		heal()
		if row := h.health("tasks"); !row.Knows(messages.Figure_FIGURE_DISK) || row.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("row = %v", row)
		}
	})
}

// sstablesOf matches what is read of the sstables of a live table.
func sstablesOf(table string) func(fileOp) bool {
	return func(o fileOp) bool {
		return strings.HasPrefix(o.path, dir+"/tables/"+table+"/") && strings.HasSuffix(o.path, ".sst") && (o.kind == "open" || o.kind == "read")
	}
}

// TestTableThatIsNotOpenHasUnknownFigures, not zeros.
func TestTableThatIsNotOpenHasUnknownFigures(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		h.backup()
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		row := h.health("tasks")
		if row.Knows(messages.Figure_FIGURE_ROWS) || row.Knows(messages.Figure_FIGURE_DISK) || row.GetGrade() != messages.Grade_GRADE_YELLOW {
			t.Errorf("row = %v", row)
		}
		if got := h.report().GetConcerns(); !slices.Equal(got, []string{"closed (tasks)"}) {
			t.Errorf("concerns = %q", got)
		}
	})
}

// TestRowsOfTableAtCutAreUnknownAtFirst: nobody has counted them before its first backup.
func TestRowsOfTableAtCutAreUnknownAtFirst(t *testing.T) {
	bubble(t, actors.Config{AtCut: []string{"tasks"}}, func(h *host) {
		h.put("tasks", "key", "value")
		if row := h.health("tasks"); row.Knows(messages.Figure_FIGURE_ROWS) || row.GetGrade() != messages.Grade_GRADE_YELLOW {
			t.Errorf("before the first backup: %v", row)
		}
		h.backup()
		if row := h.health("tasks"); !row.Knows(messages.Figure_FIGURE_ROWS) || row.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("after it: %v", row)
		}
	})
}

// TestListOfTablesSaysWhatItLacks: beside the tables that are served, which it lists all the same.
func TestListOfTablesSaysWhatItLacks(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		heal := h.fs.on(func(o fileOp) bool { return o.kind == "list" && o.path == dir+"/tables" }, func(fileOp) error { return syscall.EIO })
		list, err := h.g.ListTables(h.Context())
		if len(list) != 2 || err == nil || !strings.Contains(err.Error(), "list tables on disk: ") {
			t.Errorf("list = %v, %v", list, err)
		}
		heal()
		if list, err := h.g.ListTables(h.Context()); len(list) != 2 || err != nil {
			t.Errorf("list = %v, %v", list, err)
		}
	})
}
