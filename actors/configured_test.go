package actors_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestUnconfiguredTableIsWarnedAbout at each start, and a configured one is not.
func TestUnconfiguredTableIsWarnedAbout(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.stop()
		warned := h.warnings()
		h.start()
		if n := warned.with("not configured"); n != 0 {
			t.Errorf("%d warnings of configured tables", n)
		}
		h.stop()
		h.config.Tables = []string{"tasks"}
		h.start()
		if n := warned.with("not configured"); n != 1 {
			t.Errorf("%d warnings of an unconfigured table", n)
		}
	})
}

// TestAtCutOfNoTableIsWarnedAbout at each start: most likely its name is misspelt.
func TestAtCutOfNoTableIsWarnedAbout(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, AtCut: []string{"other"}}, func(h *host) {
		h.stop()
		warned := h.warnings()
		h.start()
		if n := warned.with("at_cut"); n != 0 {
			t.Errorf("%d warnings of a table that is served", n)
		}
		h.stop()
		h.config.AtCut = []string{"other", "othre"}
		h.start()
		if n := warned.with("at_cut"); n != 1 {
			t.Errorf("%d warnings of a table that is not served", n)
		}
	})
}

// TestScheduleOfChangingTables: scheduled runs and retries are of the tables that there are.
func TestScheduleOfChangingTables(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a", "b"}}, func(w *world) {
		w.up()
		pass(2 * time.Minute)
		if err := w.g.CreateTable(w.Context(), "made", false); err != nil {
			t.Fatal(err)
		}
		w.put("made", "k", "v")
		healMade := w.fs.fail(under(backups+"/made", "create", "mkdir"))
		heal := w.fs.fail(under(backups+"/b", "create", "mkdir"))
		w.put("b", "k", "v")
		pass(day)
		healMade()
		pass(2 * time.Hour)
		if n := w.health("made").GetBackups(); n != 1 {
			t.Errorf("a table made later, which failed first, has %d scheduled backups", n)
		}
		if err := w.g.Drop(w.Context(), drop("b")); err != nil {
			t.Fatal(err)
		}
		heal()
		before := len(w.started())
		pass(day)
		// One run of the tables that are left, and no retry of the one that is not.
		if n := len(w.started()) - before; n != 1 {
			t.Errorf("%d runs within a day", n)
		}
		w.stop()
		w.config.Tables = []string{"a"}
		w.up()
		before = len(w.started())
		pass(day)
		if n := len(w.started()) - before; n != 1 {
			t.Errorf("%d runs within a day of one table", n)
		}
	})
}

// TestUndoIsSweptAtStart, also where no run ever comes. A start counts half of its life at most: the clock may be wrong.
func TestUndoIsSweptAtStart(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}, UndoLife: time.Hour}, func(h *host) {
		h.put("old", "k", "v")
		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		h.config.Tables = []string{"tasks"}
		for _, left := range []int{1, 0} {
			h.stop()
			pass(2 * time.Hour)
			h.start()
			h.settle()
			health, err := h.g.Health(h.Context())
			if err != nil || len(health.GetUndo()) != left {
				t.Errorf("undo %v, %v; want %d", health.GetUndo(), err, left)
			}
		}
	})
}

// TestMigrationConditions: a Write of a migration whose condition does not hold writes nothing.
func TestMigrationConditions(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.stop()
		var refused, carried error
		h.migrating(func(m *actors.Migration) error {
			refused = m.Write(&messages.Write{Ops: []*messages.Op{putOp("k", "x")}, Conditions: []*messages.Condition{messages.IfAbsent([]byte("k"))}})
			carried = m.Write(&messages.Write{Ops: []*messages.Op{putOp("k", "w")}, Conditions: []*messages.Condition{messages.IfEquals([]byte("k"), []byte("v"))}})
			return nil
		})
		h.start()
		if !errors.Is(refused, messages.ErrConditionFailed) || carried != nil {
			t.Errorf("writes of the migration: %v, %v", refused, carried)
		}
		h.wantValue("tasks", "k", "w")
	})
}
