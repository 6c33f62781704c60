package actors_test

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
		var size int64 // of the backup
		one := func(what, id string, release func()) {
			t.Helper()
			h.settle()
			got := h.g.Progress()
			if len(got) != 1 || got[0].GetWhat() != what || got[0].GetTable() != "a" || got[0].GetBackupId() != id || got[0].GetBytes() == 0 {
				t.Errorf("while it goes on: %v, want a %s", got, what)
			} else if total := got[0].GetTotal(); total != 2*size {
				t.Errorf("while it goes on: %v, the total is %d, want two passes over %d B", got, total, size)
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
		result := run.one("run").(*messages.BackupReport).GetSet().GetResults()[0]
		id := result.GetBackupId()
		size = result.GetBytes()
		release = later("open", id+"/db/")
		h.send(h.g.Coordinator(), &messages.VerifyBackup{Tables: []string{"a"}, BackupId: id})
		one("verify", id, release)
		release = later("create", "/.pending-")
		h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "a", BackupId: id})
		one("restore", id, release)
	})
}

// TestEagerWorkers: who waits has files read at once, a verify with a rate one after the other.
func TestEagerWorkers(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.put("a", "key", "value")
		id := h.backup()["a"].GetBackupId()
		// atOnce is how many files of the backup wait for their open.
		atOnce := func(begin func()) int {
			t.Helper()
			var waiting atomic.Int64
			release := h.fs.hang(h.T, func(o fileOp) bool {
				hangs := o.kind == "open" && strings.Contains(o.path, id+"/db/")
				if hangs {
					waiting.Add(1)
				}
				return hangs
			})
			begin()
			h.settle()
			n := int(waiting.Load())
			release()
			h.settle()
			return n
		}
		want := min(runtime.GOMAXPROCS(0), 4)
		if n := atOnce(func() { h.send(h.g.Coordinator(), &messages.VerifyBackup{Tables: []string{"a"}, BackupId: id}) }); n != want {
			t.Errorf("a verify reads %d files at once, want %d", n, want)
		}
		if n := atOnce(func() { h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "a", BackupId: id}) }); n != want {
			t.Errorf("a restore reads %d files at once, want %d", n, want)
		}
		slow := &messages.VerifyBackup{Tables: []string{"a"}, BackupId: id, BytesPerSecond: messages.MinRate}
		if n := atOnce(func() { h.send(h.g.Coordinator(), slow) }); n != 1 {
			t.Errorf("a verify with a rate reads %d files at once", n)
		}
	})
}
