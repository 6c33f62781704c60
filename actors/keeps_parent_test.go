package actors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestParentIsKept: the newest backup of the lineage that the serving one branched off stays, also once that lineage is no more.
func TestParentIsKept(t *testing.T) {
	bubble(t, actors.Config{Keep: 1, UndoLife: time.Hour}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		parent := h.lineage("tasks")
		h.restore(&messages.RestoreTable{Table: "tasks"})
		for range 2 { // each start counts half of its life at most
			pass(2 * time.Hour)
			h.stop()
			h.start()
		}
		pass(time.Hour) // its life has ended, and is swept after the start
		for _, path := range h.tree(dir + "/tables/tasks") {
			if strings.HasPrefix(path, parent) {
				t.Fatalf("%s is still there", path)
			}
		}
		for _, key := range []string{"b", "c", "d"} {
			h.put("tasks", key, "v")
			h.backup()
		}
		if got := h.numbers("tasks"); got != "1 4" {
			t.Errorf("backups %s, want 1 4", got)
		}
	})
}
