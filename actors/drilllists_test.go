package actors_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
)

// drillLists is how often the drill lists a directory among the backups, to prove one backup of each of so many tables.
func drillLists(t *testing.T, tables int) (lists int64) {
	t.Helper()
	var names []string
	for i := range tables {
		names = append(names, fmt.Sprintf("t%04d", i))
	}
	bubble(t, drilling(actors.Config{Tables: names, DrillBytes: 1 << 30}), func(h *host) {
		proofs := h.verdicts()
		for _, name := range names {
			h.put(name, "key", "value")
		}
		var n atomic.Int64
		h.backup()
		defer h.fs.on(func(o fileOp) bool { return o.kind == "list" && strings.HasPrefix(o.path, backups) }, func(fileOp) error {
			n.Add(1)
			return nil
		})()
		pass(20 * time.Hour)
		h.settle()
		before := n.Load()
		pass(10 * time.Hour) // the proofs are a day old: a round that no run is beside
		h.settle()
		lists = n.Load() - before
		if got := len(proofs()); got != 2*tables {
			t.Errorf("%d proofs of %d tables in two rounds", got, tables)
		}
	})
	return lists
}

// TestDrillListsOncePerRound: what a round reads of the directory grows with the tables, not with their square.
func TestDrillListsOncePerRound(t *testing.T) {
	few, many := drillLists(t, 5), drillLists(t, 40)
	t.Logf("5 tables: %d lists; 40 tables: %d", few, many)
	if many > 10*few {
		t.Errorf("%d lists for 40 tables, %d for 5: more than in proportion", many, few)
	}
}
