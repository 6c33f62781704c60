package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestOwnerPanicsAtEachStepOfARestore: whatever file operation a live restore is at, it is done, and the table serves what was
// restored.
func TestOwnerPanicsAtEachStepOfARestore(t *testing.T) {
	steps := 0
	for at, met := int64(1), true; met; at++ {
		met = false
		bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
			h.put("tasks", "a", "v")
			h.backup("tasks")
			h.put("tasks", "b", "v")
			poison := put("poison", "v")
			h.middle.set(func(_ string, m any) {
				if m == poison {
					panic(fmt.Sprint("at step ", at))
				}
			}, nil)
			var died atomic.Pointer[sender]
			var n atomic.Int64
			h.fs.on(func(o fileOp) bool {
				return strings.HasPrefix(o.path, dir+"/tables/tasks") && !slices.Contains([]string{"read", "write", "list", "stat"}, o.kind)
			}, func(fileOp) error {
				if n.Add(1) == at {
					died.Store(h.send(h.pid("tasks"), poison))
				}
				return nil
			})
			restore := h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "tasks"})
			done(restore)
			if s := died.Load(); s != nil {
				met = true
				s.failure("what the owner died on", messages.Code_CODE_INTERNAL)
				steps++
			}
			h.wantValue("tasks", "a", "v")
			h.wantValue("tasks", "b", "")
			h.put("tasks", "c", "v")
			h.put("other", "alive", "v")
			h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
			h.wantValue("tasks", "b", "v")
		})
	}
	if t.Logf("%d steps", steps); steps < 20 {
		t.Errorf("the owner panicked at %d steps only", steps)
	}
}
