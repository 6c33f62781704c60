package actors_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestRestoreWithoutRoom is refused before it writes, and the full table goes on being read; with room it is done.
func TestRestoreWithoutRoom(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.put("tasks", "a", "v2")
		var free atomic.Uint64
		free.Store(10 << 30)
		h.room(func(string) uint64 { return free.Load() })
		pass(2 * time.Second)
		free.Store(255 << 20)
		pass(2 * time.Second)
		if _, err := h.g.Table("tasks").Put(h.Context(), []byte("b"), nil); !errors.Is(err, messages.ErrExhausted) {
			t.Fatalf("put = %v", err)
		}
		h.wantState("tasks", full)
		before := h.tree(dir + "/tables/tasks")
		_, err := h.g.RestoreTable(h.Context(), "tasks")
		if !errors.Is(err, messages.ErrExhausted) || !strings.Contains(hints(err), "free some space") {
			t.Errorf("restore = %v, hints %s", err, hints(err))
		}
		if after := h.tree(dir + "/tables/tasks"); !slices.Equal(before, after) {
			t.Errorf("a refused restore left %q, before were %q", after, before)
		}
		h.wantState("tasks", full)
		h.wantValue("tasks", "a", "v2")

		free.Store(10 << 30)
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "a", "v")
		pass(3 * time.Second)
		h.wantState("tasks", open)
		h.put("tasks", "b", "v")
	})
}

// TestRestoreOfATableThatHasNoRoomToOpen: its WAL cannot be replayed, its backup fits.
func TestRestoreOfATableThatHasNoRoomToOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bubble(t, actors.Config{FS: mem}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.put("tasks", "a", "v2")
		serving := h.lineage("tasks")
		crashed := prepare(h.T, actors.Config{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
		crashed.fs.on(func(o fileOp) bool {
			return o.kind == "create" && strings.HasPrefix(o.path, serving+"/") && strings.HasSuffix(o.path, ".sst")
		},
			func(fileOp) error { return syscall.ENOSPC })
		crashed.start()
		crashed.wantState("tasks", full)
		crashed.wantValue("tasks", "a", "v2")
		crashed.restore(&messages.RestoreTable{Table: "tasks"})
		crashed.wantState("tasks", open)
		crashed.wantValue("tasks", "a", "v")
		crashed.put("tasks", "b", "v")
		_, err := crashed.g.Restore(h.Context(), &messages.RestoreTable{Table: "tasks", Undo: true})
		if err == nil || !strings.Contains(err.Error(), "serves the restored lineage, but did not open") {
			t.Errorf("undo to what has no room to open = %v", err)
		}
		crashed.wantState("tasks", full)
		crashed.wantValue("tasks", "a", "v2")
	})
}
