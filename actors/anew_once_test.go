package actors_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBackupAnewOnce: where the new one is red too, no third is made before a day has passed, whoever verifies.
func TestBackupAnewOnce(t *testing.T) {
	bubble(t, drilling(actors.Config{Keep: 10}), func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		pass(time.Minute)
		h.fs.on(sstables("tasks"), func(fileOp) error { return syscall.EIO })
		want := func(numbers string) {
			t.Helper()
			pass(time.Minute)
			h.settle()
			if got := h.numbers("tasks"); got != numbers {
				t.Errorf("backups %s, want %s", got, numbers)
			}
		}
		for range 3 {
			if _, err := h.g.VerifyBackup(h.Context(), "tasks", ""); !errors.Is(err, messages.ErrDataLoss) {
				t.Fatalf("verify: %v", err)
			}
			want("1 2")
		}
		if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_RED {
			t.Errorf("health %v", row)
		}
		pass(30 * time.Hour)
		want("1 2 3")
	})
}

// TestOlderRedBackupIsNotTakenAnew: the table has a younger one.
func TestOlderRedBackupIsNotTakenAnew(t *testing.T) {
	bubble(t, drilling(actors.Config{Keep: 10}), func(h *host) {
		h.put("tasks", "a", "v")
		first := h.backup()["tasks"].GetBackupId()
		h.put("tasks", "b", "v")
		h.backup()
		h.put("tasks", "c", "v") // is in none: a backup anew would have a number of its own
		pass(time.Minute)
		h.damage(h.sstable(h.backupPath("tasks", first)))
		if _, err := h.g.VerifyBackup(h.Context(), "tasks", first); !errors.Is(err, messages.ErrDataLoss) {
			t.Fatalf("verify: %v", err)
		}
		pass(30 * time.Hour)
		h.settle()
		if got := h.numbers("tasks"); got != "1 2" {
			t.Errorf("backups %s, want 1 2", got)
		}
	})
}
