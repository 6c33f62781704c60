package actors_test

import (
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestFailedChangeOfAClosedTable: where a restore or a drop does not come to its end, the table is as it was, closed.
func TestFailedChangeOfAClosedTable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		remove := h.fs.fail(func(o fileOp) bool { return o.kind == "create" && strings.Contains(o.path, "/tasks/current") })
		if _, err := h.g.RestoreTable(h.Context(), "tasks"); err == nil {
			t.Fatal("the flip did not fail")
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_CLOSED)
		remove()
		remove = h.fs.fail(func(o fileOp) bool { return o.kind == "remove" && strings.HasSuffix(o.path, "/tasks/current") })
		for _, bare := range []bool{false, true} {
			if err := h.g.Drop(h.Context(), &messages.DropTable{Table: "tasks", WithoutBackup: bare}); err == nil {
				t.Fatal("the drop did not fail")
			}
			h.wantState("tasks", messages.TableState_TABLE_STATE_CLOSED)
		}
		remove()
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
	})
}
