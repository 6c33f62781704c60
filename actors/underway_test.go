package actors_test

import (
	"strings"
	"sync"
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
		// From the third file on, so that something was done of the work that hangs.
		later := func(kind, part string) (release func()) {
			t.Helper()
			seen := make(map[string]bool)
			var mu sync.Mutex
			return h.fs.hang(h.T, func(o fileOp) bool {
				if o.kind != kind || !strings.Contains(o.path, part) {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				seen[o.path] = true
				return len(seen) > 2 // one of two may be an empty WAL
			})
		}
		one := func(what, id string, release func()) {
			t.Helper()
			h.settle()
			got := h.g.Progress()
			if len(got) != 1 || got[0].GetWhat() != what || got[0].GetTable() != "a" || got[0].GetBackupId() != id || got[0].GetBytes() == 0 {
				t.Errorf("while it goes on: %v, want a %s", got, what)
			} else if total := got[0].GetTotal(); (what == "backup") != (total == 0) || total != 0 && total < 2*got[0].GetBytes() {
				t.Errorf("while it goes on: %v, the total is of two passes", got)
			}
			release()
			h.settle()
			if got := h.g.Progress(); len(got) != 0 {
				t.Errorf("after the %s: %v", what, got)
			}
		}
		release := later("create", backups+"/a/")
		run := h.send(h.g.Coordinator(), &messages.BackupAll{})
		one("backup", "", release)
		id := run.one("run").(*messages.BackupReport).GetSet().GetResults()[0].GetBackupId()
		release = later("open", id+"/db/")
		h.send(h.g.Coordinator(), &messages.VerifyBackup{Tables: []string{"a"}, BackupId: id})
		one("verify", id, release)
		release = later("create", "/.pending-")
		h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "a", BackupId: id})
		one("restore", id, release)
	})
}
