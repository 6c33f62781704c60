package actors_test

import (
	"sync/atomic"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestRestoreTellsOfARedBackup that it met: as a verify does.
func TestRestoreTellsOfARedBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "1")
		first := h.backup()["tasks"].GetBackupId()
		h.put("tasks", "b", "1")
		second := h.backup()["tasks"].GetBackupId()
		h.damage(h.sstable(h.backupPath("tasks", second)))
		proofs := h.verdicts()
		r := h.restore(&messages.RestoreTable{Table: "tasks"})
		if r.GetRestored().GetBackupId() != first || len(r.GetPlan().GetPassedOver()) != 1 {
			t.Errorf("restored %v", r)
		}
		told := map[string]messages.Verdict{}
		for _, p := range proofs() {
			told[p.GetBackupId()] = p.GetVerdict()
		}
		if told[second] != messages.Verdict_VERDICT_RED || told[first] != messages.Verdict_VERDICT_PROVEN {
			t.Errorf("told of %v", told)
		}
	})
}

// TestFlipThatMeetsAnErrorAfterwards is done: what current says is what serves.
func TestFlipThatMeetsAnErrorAfterwards(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "1")
		h.backup()
		h.put("tasks", "b", "1")
		var flipped, failed atomic.Bool
		h.fs.on(func(o fileOp) bool { return true }, func(o fileOp) error {
			if flipping(o) {
				flipped.Store(true)
			}
			if o.kind == "sync" && o.path == dir+"/tables/tasks" && flipped.Load() && failed.CompareAndSwap(false, true) {
				return errInjected
			}
			return nil
		})
		seen := h.events()
		h.restore(&messages.RestoreTable{Table: "tasks"})
		if !failed.Load() || len(eventsOf[*messages.TableRestored](seen)) != 1 {
			t.Errorf("failed %v, restored %v", failed.Load(), eventsOf[*messages.TableRestored](seen))
		}
		h.wantValue("tasks", "b", "")
		h.put("tasks", "c", "1")
		h.stop()
		h.start()
		h.wantValue("tasks", "b", "")
		h.wantValue("tasks", "c", "1")
	})
}
