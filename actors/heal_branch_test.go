package actors_test

import (
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHealKeepsToItsHistory: what a restore has put out of service does not come back by a healing, though its backup is the
// newest.
func TestHealKeepsToItsHistory(t *testing.T) {
	bubble(t, drilling(actors.Config{SelfHeal: true}), func(h *host) {
		h.put("tasks", "a", "good")
		h.backup()
		h.put("tasks", "a", "bad")
		h.backup()
		h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "1"})
		h.wantValue("tasks", "a", "good")
		h.damage(h.sstable(h.lineage("tasks")))
		pass(48 * time.Hour)
		h.settle()
		all := h.restored()
		if len(all) != 2 || !all[1].GetHealed() {
			t.Fatalf("restored %v", all)
		}
		h.wantValue("tasks", "a", "good")
		if over := all[1].GetBackupId(); over != "" && over[:6] != "000001" {
			t.Errorf("healed from %s", over)
		}
	})
}

// TestHealFromAnotherHistory: where there is nothing else.
func TestHealFromAnotherHistory(t *testing.T) {
	bubble(t, drilling(actors.Config{SelfHeal: true}), func(h *host) {
		h.put("tasks", "a", "good")
		first := h.backup()["tasks"].GetBackupId()
		h.put("tasks", "a", "bad")
		h.backup()
		h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "1"})
		h.damage(h.sstable(h.backupPath("tasks", first)))
		if _, err := h.g.VerifyBackup(h.Context(), "tasks", first); err == nil {
			t.Fatal("damage is not found")
		}
		h.damage(h.sstable(h.lineage("tasks")))
		pass(48 * time.Hour)
		h.settle()
		h.wantValue("tasks", "a", "bad")
	})
}
