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

// TestOverdueIsYellow: a proof that grows old because no verify comes to a verdict, and a backup because none is made; and green
// again once they are.
func TestOverdueIsYellow(t *testing.T) {
	for concern, fails := range map[string]func(o fileOp) bool{
		"proof is overdue": sstables("tasks"),
		"backup is overdue": func(o fileOp) bool {
			return o.kind == "mkdir" && strings.HasPrefix(o.path, backups+"/tasks/.pending-")
		},
	} {
		bubble(t, drilling(actors.Config{Interval: 24 * time.Hour}), func(h *host) {
			h.put("tasks", "a", "v")
			h.backup()
			pass(time.Minute)
			h.put("tasks", "b", "v") // else it is carried forward
			want := func(grade messages.Grade) {
				t.Helper()
				h.settle()
				row := h.health("tasks")
				if row.GetBackupOverdue() != slices.Contains(row.GetConcerns(), "backup is overdue") || row.GetProofOverdue() != slices.Contains(row.GetConcerns(), "proof is overdue") {
					t.Errorf("%s: %v", concern, row)
				}
				if row.GetGrade() != grade || slices.Contains(row.GetConcerns(), concern) != (grade == messages.Grade_GRADE_YELLOW) {
					t.Errorf("%s: %v", concern, row)
				}
			}
			want(messages.Grade_GRADE_GREEN)
			heal := h.fs.on(fails, func(fileOp) error { return syscall.EMFILE })
			pass(47 * time.Hour)
			want(messages.Grade_GRADE_GREEN)
			pass(3 * time.Hour)
			want(messages.Grade_GRADE_YELLOW)
			heal()
			pass(25 * time.Hour)
			want(messages.Grade_GRADE_GREEN)
		})
	}
}

// TestNeverBackedUpIsYellow, as far as that is known.
func TestNeverBackedUpIsYellow(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		const concern = "no backup yet"
		if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_YELLOW || !slices.Contains(row.GetConcerns(), concern) {
			t.Errorf("at first %v", row)
		}
		heal := h.fs.on(under(backups, "list"), func(fileOp) error { return syscall.EIO })
		if row := h.health("tasks"); slices.Contains(row.GetConcerns(), concern) {
			t.Errorf("when backups cannot be listed %v", row)
		}
		heal()
		h.backup()
		if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("after a backup %v", row)
		}
	})
}

// TestUnreadableProofsAreShown: a backup whose proofs the disk does not give is taken for a red one, and health says so.
func TestUnreadableProofsAreShown(t *testing.T) {
	bubble(t, drilling(actors.Config{}), func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		pass(time.Minute)
		heal := h.fs.on(under(backups+"/tasks/proofs", "read"), func(fileOp) error { return syscall.EIO })
		if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_RED || row.GetRedBackups() != 1 {
			t.Errorf("health %v", row)
		}
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil || list.GetBackups()[0].GetFault() != "its proofs cannot be read" {
			t.Errorf("backups %v, %v", list, err)
		}
		heal()
		if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health %v", row)
		}
	})
}
