package actors_test

import (
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestProgress: what goes on is listed while it does, with how far it is.
func TestProgress(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.put("a", "key", "value")
		if got := h.g.Progress(); len(got) != 0 {
			t.Errorf("at first %v", got)
		}
		one := func(what, id string, begin func()) {
			t.Helper()
			h.settle()
			got := h.g.Progress()
			if len(got) != 1 || got[0].GetWhat() != what || got[0].GetTable() != "a" || got[0].GetBackupId() != id || (what != "backup") != (got[0].GetTotal() > 0) {
				t.Errorf("while it goes on: %v, want a %s", got, what)
			}
			begin()
			h.settle()
			if got := h.g.Progress(); len(got) != 0 {
				t.Errorf("after the %s: %v", what, got)
			}
		}
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		run := h.send(h.g.Coordinator(), &messages.BackupAll{})
		one("backup", "", release)
		id := run.one("run").(*messages.BackupReport).GetSet().GetResults()[0].GetBackupId()
		release = h.fs.hang(h.T, under(backups+"/a", "open"))
		h.send(h.g.Coordinator(), &messages.VerifyBackup{Tables: []string{"a"}, BackupId: id})
		release()
		h.settle()
		if got := h.g.Progress(); len(got) != 0 {
			t.Errorf("after the verify: %v", got)
		}
		release = h.fs.hang(h.T, func(o fileOp) bool {
			return o.kind == "create" && strings.Contains(o.path, ".pending-") && strings.Contains(o.path, "MANIFEST")
		})
		h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "a", BackupId: id})
		one("restore", id, release)
	})
}
