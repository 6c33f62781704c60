package actors_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBackupsMountedForReadingOnly: a visitor verifies and restores from them, and changes nothing there.
func TestBackupsMountedForReadingOnly(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.put("tasks", "b", "v")
		h.stop()
		h.fs.on(under(backups, "create", "reuse", "lock", "link", "rename", "remove", "removeall"), func(fileOp) error { return syscall.EROFS })
		h.config.Visit = true
		h.start()
		if proof, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil || proof.GetRows() != 1 {
			t.Errorf("proof %v, %v", proof, err)
		}
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "a", "v")
		h.wantValue("tasks", "b", "")
		if _, err := h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "tasks", BackupId: "1", Reason: "x"}); !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 {
			t.Errorf("pin: %v, hints %q", err, messages.Hints(err))
		}
		if row := h.backup()["tasks"]; row.GetOutcome() != messages.Outcome_OUTCOME_FAILED {
			t.Errorf("backup %v", row)
		}
	})
}
