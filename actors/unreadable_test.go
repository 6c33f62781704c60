package actors_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBlockThatTheDiskDoesNotGive is damage as one with a wrong checksum is: a read that meets it, or the drill, has the table checked;
// it is red while it lasts, and with self_heal it is mended from its backup.
func TestBlockThatTheDiskDoesNotGive(t *testing.T) {
	for name, c := range map[string]struct{ heals, reads bool }{"met by a read": {false, true}, "met by the drill": {false, false}, "healed": {true, true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, drilling(actors.Config{SelfHeal: c.heals}), func(h *host) {
				for _, key := range strings.Fields("a b c d") {
					h.put("tasks", key, noise(key))
				}
				h.backup()
				pass(2 * time.Minute) // proven
				if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
					t.Fatal(err)
				}
				if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
					t.Fatal(err)
				}
				pass(time.Second) // Pebble loads its statistics, and would try again without a pause
				h.settle()
				path := h.onlyLineage("tasks")
				heal := h.fs.on(func(o fileOp) bool {
					return o.kind == "read" && strings.HasPrefix(o.path, path) && strings.HasSuffix(o.path, ".sst")
				}, func(fileOp) error { return syscall.EIO })
				if c.reads {
					_, _ = h.g.Table("tasks").Scan(h.Context(), &messages.Scan{})
				} else {
					pass(25 * time.Hour)
				}
				pass(time.Minute)
				h.settle()
				if c.heals {
					h.wantValue("tasks", "d", noise("d"))
					if losses := h.losses(); len(losses) != 0 {
						t.Errorf("losses %v", losses)
					}
					return
				}
				if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(strings.Join(row.GetConcerns(), "; "), "damaged: ") {
					t.Errorf("health %v", row)
				}
				heal()
			})
		})
	}
}

// onlyLineage is the directory of the only lineage of a table that is closed.
func (h *host) onlyLineage(table string) string {
	h.Helper()
	names, err := h.fs.List(dir + "/tables/" + table)
	if err != nil {
		h.Fatal(err)
	}
	for _, name := range names {
		if len(name) == 26 {
			return dir + "/tables/" + table + "/" + name
		}
	}
	h.Fatal("no lineage")
	return ""
}
