package actors_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// shorten has a stopped table's files be what they were after the row "b": its mark is ahead of them. The table has the
// rows a, b, c and d then, at the seqs 1 to 4, of which the newest backup, its second, holds as many as backedUp says.
func (h *host) shorten(backedUp int) {
	h.Helper()
	var path string
	for i, key := range []string{"a", "b", "c", "d"} {
		h.put("tasks", key, "v")
		if i == 0 || i+1 == backedUp {
			h.backup("tasks")
		}
		if key != "b" {
			continue
		}
		path = h.lineage("tasks")
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		if ok, err := vfs.Clone(h.fs.FS, h.fs.FS, path, "/short"); !ok || err != nil {
			h.Fatal(ok, err)
		}
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
	}
	h.stop()
	if err := h.fs.RemoveAll(path); err != nil {
		h.Fatal(err)
	}
	if ok, err := vfs.Clone(h.fs.FS, h.fs.FS, "/short", path); !ok || err != nil {
		h.Fatal(ok, err)
	}
}

// restored are the TableRestored since the host's directory was made.
func (h *host) restored() (all []*messages.TableRestored) {
	h.Helper()
	for _, e := range h.logged(&messages.ListEvents{}) {
		if r := e.GetTableRestored(); r != nil {
			all = append(all, r)
		}
	}
	return all
}

// TestHealTakesTheBest: of a table that is short of its mark, its own files where they are ahead of its newest backup, and that
// backup otherwise; what is lost is told.
func TestHealTakesTheBest(t *testing.T) {
	for backedUp, want := range map[int]struct {
		source string
		from   uint64
	}{1: {"live", 3}, 2: {"live", 3}, 3: {"backup", 4}} {
		bubble(t, actors.Config{SelfHeal: true}, func(h *host) {
			h.shorten(backedUp)
			h.start()
			pass(time.Minute)
			h.settle()
			all := h.restored()
			if len(all) != 1 {
				t.Fatalf("backup of %d rows: restored %v", backedUp, all)
			}
			r := all[0]
			if !r.GetHealed() || r.GetSource() != want.source || r.GetLostFrom() != want.from || r.GetLostTo() != 4 ||
				r.GetPosition().GetSeq() != want.from-1 || !strings.Contains(r.GetReason(), "mark") && !strings.Contains(r.GetReason(), "backup") {
				t.Errorf("backup of %d rows: restored %v", backedUp, r)
			}
			for i, key := range []string{"a", "b", "c", "d"} {
				h.wantValue("tasks", key, map[bool]string{true: "v"}[uint64(i+1) < want.from])
			}
			h.put("tasks", "after", "v")
		})
	}
}

// TestRestoreLive: by hand, of a table that is quarantined, and names what is lost.
func TestRestoreLive(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.shorten(1)
		h.start()
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		r := h.restore(&messages.RestoreTable{Table: "tasks", Live: true}).GetRestored()
		if r.GetSource() != "live" || r.GetLostFrom() != 3 || r.GetLostTo() != 4 || r.GetHealed() {
			t.Errorf("restored %v", r)
		}
		h.wantValue("tasks", "b", "v")
		h.wantValue("tasks", "c", "")
	})
}

// TestLiveRestoreOfATableThatOpens meanwhile is refused: what the table has acknowledged since would be lost.
func TestLiveRestoreOfATableThatOpens(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		copies := h.fs.hang(t, func(o fileOp) bool { return o.kind == "rename" && strings.Contains(o.path, "/.pending-") })
		s := h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "tasks", Live: true})
		h.settle()
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		h.put("tasks", "b", "v")
		copies()
		h.settle()
		s.failure("restore", messages.Code_CODE_ABORTED)
		h.wantValue("tasks", "b", "v")
		if all := h.restored(); len(all) != 0 {
			t.Errorf("restored %v", all)
		}
	})
}

// TestNeverHealed: a table that is not there is no table that is damaged: its disk may not be mounted.
func TestNeverHealed(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, SelfHeal: true}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.stop()
		if err := h.fs.RemoveAll(dir + "/tables/tasks"); err != nil {
			t.Fatal(err)
		}
		h.start()
		pass(time.Hour)
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		if all := h.restored(); len(all) != 0 {
			t.Errorf("restored %v", all)
		}
	})
}

// TestFrozenStoreIsNoWitness: what a check finds on a disk that freezes meanwhile is held against nobody.
func TestFrozenStoreIsNoWitness(t *testing.T) {
	bubble(t, drilling(actors.Config{SelfHeal: true}), func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		h.backup()
		sstable := h.sstable(h.lineage("tasks"))
		h.damage(sstable)
		var froze atomic.Bool
		h.fs.on(func(o fileOp) bool { return o.kind == "read" && o.path == sstable }, func(fileOp) error {
			if froze.CompareAndSwap(false, true) {
				heal := h.fs.fail(walSync("tasks"))
				if _, err := h.g.Table("tasks").Put(h.Context(), []byte("x"), []byte("y")); err == nil {
					t.Error("a put beside a failing WAL was acknowledged")
				}
				heal()
			}
			return nil
		})
		pass(10 * time.Minute)
		h.settle()
		if all := h.restored(); len(all) != 0 || !froze.Load() {
			t.Errorf("restored %v, frozen %v", all, froze.Load())
		}
		if concerns := strings.Join(h.health("tasks").GetConcerns(), "; "); strings.Contains(concerns, "damaged") {
			t.Errorf("the table is suspected: %s", concerns)
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
	})
}

// TestFailedHealingIsNotRepeated: one that comes to its flip and no further is not tried again at once, nor by each RetryTable; a
// person may restore the table.
func TestFailedHealingIsNotRepeated(t *testing.T) {
	bubble(t, actors.Config{SelfHeal: true}, func(h *host) {
		h.shorten(1)
		var copies sync.Map
		h.fs.on(func(o fileOp) bool {
			return o.kind == "mkdir" && strings.Contains(o.path, "/tables/tasks/.pending-")
		}, func(o fileOp) error { copies.Store(o.path, true); return nil })
		heal := h.fs.fail(func(o fileOp) bool {
			return o.kind == "create" && strings.HasPrefix(o.path, dir+"/tables/tasks/current")
		})
		h.start()
		pass(time.Hour)
		for range 3 {
			if err := h.g.RetryTable(h.Context(), "tasks"); err == nil {
				t.Error("a table that is short of its mark opened")
			}
			pass(time.Minute)
		}
		n := 0
		copies.Range(func(_, _ any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d copies were made, want 1", n)
		}
		heal()
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		h.restore(&messages.RestoreTable{Table: "tasks", Live: true})
		h.wantValue("tasks", "b", "v")
	})
}

// TestHealedOnceADay, across restarts, where undo lives shorter, and with a current that says neither what serves nor what was
// healed before.
func TestHealedOnceADay(t *testing.T) {
	bubble(t, actors.Config{SelfHeal: true, UndoLife: time.Hour}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		for want, after := range []time.Duration{0, 2 * time.Hour, 23 * time.Hour} {
			pass(after)
			h.backup() // sweeps
			h.stop()
			if err := store.WriteDurably(h.fs, dir+"/tables/tasks/current", []byte("?")); err != nil {
				t.Fatal(err)
			}
			h.start()
			pass(time.Minute)
			wanted := []int{1, 1, 2}[want]
			if all := h.restored(); len(all) != wanted {
				t.Fatalf("%v later: healed %d times, want %d: %v", after, len(all), wanted, h.info("tasks"))
			}
		}
		h.wantValue("tasks", "a", "v")
	})
}
