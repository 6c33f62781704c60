package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// hungFiles are those of one table, or of DIR, that may hang while a Gabion starts.
var hungFiles = map[string]func(fileOp) bool{
	"the table's directory": under(dir+"/tables/sick", "stat", "list", "open", "opendir", "create", "sync"),
	"current":               func(o fileOp) bool { return o.path == dir+"/tables/sick/current" },
	"its mark": func(o fileOp) bool {
		return strings.HasPrefix(o.path, dir+"/tables/sick/") && strings.HasSuffix(o.path, ".mark")
	},
	"its MANIFEST": func(o fileOp) bool {
		return strings.HasPrefix(o.path, dir+"/tables/sick/") && strings.Contains(o.path, "/MANIFEST-")
	},
	"its WAL": func(o fileOp) bool {
		return strings.HasPrefix(o.path, dir+"/tables/sick/") && strings.HasSuffix(o.path, ".log")
	},
	"its writes":    under(dir+"/tables/sick", "create", "sync", "write", "rename", "reuse"),
	"its backups":   under(backups+"/sick", "list", "open", "stat"),
	"schedule.json": under(dir+"/schedule.json", "open", "read"),
	"history.json":  under(dir+"/history.json", "open", "read"),
	"the event log": under(dir+"/events", "list", "open", "opendir", "mkdir", "stat"),
}

// TestOneHungFileAtStart: whatever hangs, each other table is served, Start returns, and the table whose files hang says so and
// serves once they answer.
func TestOneHungFileAtStart(t *testing.T) {
	for what, match := range hungFiles {
		t.Run(what, func(t *testing.T) {
			stoppedBubble(t, actors.Config{Tables: []string{"sick", "well"}}, func(h *host) {
				h.start()
				h.put("sick", "k", "v")
				h.put("well", "k", "v")
				h.backup()
				h.stop()
				answer := h.fs.hang(h.T, match)
				begin := time.Now()
				h.start()
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("start took %v", took)
				}
				h.wantState("well", open)
				h.put("well", "k", "w")
				list, err := h.g.ListTables(h.Context())
				if err != nil || len(list) != 2 {
					t.Fatalf("tables = %v, %v", list, err)
				}
				if sick := list[0]; strings.Contains(what, "table") || strings.HasPrefix(what, "its ") && what != "its backups" {
					if sick.GetState() != messages.TableState_TABLE_STATE_OPENING || !strings.Contains(sick.GetReason(), "its disk may not answer") || sick.GetHint() == "" {
						t.Errorf("the table is %v: %s", sick.GetState(), sick.GetReason())
					}
				}
				if report, err := h.g.Health(h.Context()); err != nil || len(report.GetTables()) != 2 {
					t.Errorf("health = %v, %v", report, err)
				}
				answer()
				h.settle()
				pass(time.Minute)
				h.wantState("sick", open)
				h.wantValue("sick", "k", "v")
				h.put("sick", "k", "w")
			})
		})
	}
}

// TestHungOpensHoldUpNoOther: as many tables as may open at once hang, and more; the others are served soon.
func TestHungOpensHoldUpNoOther(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("sick%02d", i))
	}
	stoppedBubble(t, actors.Config{Tables: append(names, "well")}, func(h *host) {
		h.start()
		h.put("well", "k", "v")
		h.stop()
		answer := h.fs.hang(h.T, func(o fileOp) bool { return strings.HasPrefix(o.path, dir+"/tables/sick") })
		begin := time.Now()
		h.start()
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("start took %v", took)
		}
		h.wantState("well", open)
		h.put("well", "k", "w")
		answer()
		h.settle()
		for _, name := range names {
			h.wantState(name, open)
		}
	})
}

// TestHungTableDirectoryHidesNoOther: tables that nobody has configured, and undo, are listed and swept beside a directory that
// hangs.
func TestHungTableDirectoryHidesNoOther(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"dropped", "other", "sick", "tasks"}, UndoLife: time.Hour}, func(h *host) {
		h.start()
		h.put("dropped", "k", "v")
		if err := h.g.DropTable(h.Context(), "dropped"); err != nil {
			t.Fatal(err)
		}
		h.stop()
		h.config.Tables = []string{"tasks"}
		answer := h.fs.hang(h.T, under(dir+"/tables/sick", "stat", "list", "open"))
		h.start()
		report, err := h.g.Health(h.Context())
		if err != nil || strings.Join(report.GetUnconfigured(), " ") != "other sick" || len(report.GetUndo()) != 1 || len(report.GetFaults()) == 0 {
			t.Errorf("health names %q, undo %v, faults %v, %v", report.GetUnconfigured(), report.GetUndo(), report.GetFaults(), err)
		}
		if err := h.g.OpenTable(h.Context(), "other"); err != nil {
			t.Errorf("open another table: %v", err)
		}
		pass(2 * time.Hour)
		h.backup()
		if report, err := h.g.Health(h.Context()); err != nil || len(report.GetUndo()) != 0 {
			t.Errorf("undo after its life beside a hung table = %v, %v", report.GetUndo(), err)
		}
		answer()
		h.settle()
	})
}

// TestHungFreeSpaceAtStart: a disk that does not say what it has free keeps no table from opening.
func TestHungFreeSpaceAtStart(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		gate := make(chan struct{})
		usage := func(path string) (vfs.DiskUsage, error) {
			if path == dir { // Pebble asks on its own, for the table's disk
				<-gate
			}
			return vfs.DiskUsage{}, vfs.ErrUnsupported
		}
		h.fs.usage.Store(&usage)
		begin := time.Now()
		h.start()
		if took := time.Since(begin); took > 9*time.Second {
			t.Errorf("start took %v", took)
		}
		h.wantState("a", open)
		h.wantState("b", open)
		h.put("a", "k", "v")
		close(gate)
		h.settle()
	})
}
