package actors_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBlockThatTheDiskDoesNotGive: a read that meets it, or the drill, has the table checked. It is red until the disk gives every block
// again, and nothing takes its place, since it may give it in a moment.
func TestBlockThatTheDiskDoesNotGive(t *testing.T) {
	for name, c := range map[string]struct {
		config actors.Config
		drill  bool
		reads  int // that fail, after which the disk gives all; 0 for all of an hour
	}{
		"met by a read":          {config: actors.Config{}},
		"met by the drill":       {config: actors.Config{}, drill: true},
		"with healing":           {config: actors.Config{SelfHeal: true}},
		"at cut, with healing":   {config: actors.Config{SelfHeal: true, AtCut: []string{"tasks"}}},
		"twice, with healing":    {config: actors.Config{SelfHeal: true}, reads: 2},
		"twice, at cut, healing": {config: actors.Config{SelfHeal: true, AtCut: []string{"tasks"}}, reads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, drilling(c.config), func(h *host) {
				for _, key := range strings.Fields("a b c d") {
					h.put("tasks", key, noise(key))
				}
				h.backup()
				pass(2 * time.Minute) // proven
				h.put("tasks", "e", noise("e"))
				if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
					t.Fatal(err)
				}
				if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
					t.Fatal(err)
				}
				pass(time.Second) // Pebble loads its statistics, and would try again without a pause
				h.settle()
				path := h.onlyLineage("tasks")
				var failed atomic.Int64
				end := h.fs.on(func(o fileOp) bool {
					return o.kind == "read" && strings.HasPrefix(o.path, path) && strings.HasSuffix(o.path, ".sst")
				}, func(fileOp) error {
					if n := failed.Add(1); c.reads > 0 && n > int64(c.reads) {
						return nil
					}
					return syscall.EIO
				})
				if c.drill {
					pass(25 * time.Hour)
				} else if _, err := h.g.Table("tasks").Scan(h.Context(), &messages.Scan{}); err == nil {
					t.Error("no read failed")
				}
				pass(30 * time.Second)
				h.settle()
				if row := h.health("tasks"); row.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(strings.Join(row.GetConcerns(), "; "), "damaged: ") {
					t.Errorf("health %v", row)
				}
				pass(time.Hour)
				end()
				pass(2 * time.Hour) // it is read again
				h.settle()
				if row := h.health("tasks"); row.GetGrade() == messages.Grade_GRADE_RED {
					t.Errorf("health once the disk gives all: %v", row)
				}
				for _, key := range strings.Fields("a b c d e") {
					h.wantValue("tasks", key, noise(key))
				}
				if losses := h.losses(); len(losses) != 0 || h.onlyLineage("tasks") != path {
					t.Errorf("replaced: losses %v", losses)
				}
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
