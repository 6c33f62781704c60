package actors_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestRestoreOfARedBackup: only where it is asked for by name; what can be read is what serves then, at a position of its own.
func TestRestoreOfARedBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		// Committed between the flush and the cut: the WAL alone holds it.
		var once sync.Once
		h.fs.on(func(o fileOp) bool { return o.kind == "create" && strings.HasSuffix(o.path, ".sst") }, func(fileOp) error {
			once.Do(func() { h.put("tasks", "wal", "v") })
			return nil
		})
		row := h.backup()["tasks"]
		id := row.GetBackupId()
		h.put("tasks", "late", "v")
		if row.GetCount() != 9 {
			t.Fatalf("backup %v, want 9 rows", row)
		}
		path := h.backupPath("tasks", id)
		names, err := h.fs.List(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".log") {
				if err := h.fs.Remove(path + "/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := h.g.VerifyBackup(h.Context(), "tasks", id); !errors.Is(err, messages.ErrDataLoss) {
			t.Fatalf("verify: %v", err)
		}
		for what, m := range map[string]*messages.RestoreTable{
			"newest": {Table: "tasks"}, "by name": {Table: "tasks", BackupId: id}, "plan": {Table: "tasks", BackupId: id, DryRun: true},
		} {
			if _, err := h.g.Restore(h.Context(), m); err == nil {
				t.Errorf("a red backup is taken, %s", what)
			}
		}
		h.wantValue("tasks", "late", "v")
		r := h.restore(&messages.RestoreTable{Table: "tasks", BackupId: id, Red: true}).GetRestored()
		if r.GetBackupId() != id || r.GetPosition().GetSeq() != 8 || r.GetLostFrom() != 9 || r.GetLostTo() != 10 {
			t.Errorf("restored %v", r)
		}
		h.wantValue("tasks", "wal", "")
		h.wantValue("tasks", "c", strings.Repeat("c", 1000))
		h.put("tasks", "after", "v")
		if row := h.backup()["tasks"]; row.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP {
			t.Errorf("next backup %v", row)
		}
		if proof, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil || proof.GetRows() != 9 {
			t.Errorf("proof of what came of it: %v, %v", proof, err)
		}
	})
}
